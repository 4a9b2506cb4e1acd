// Command epitaph is a RocketMQ NameServer whose nodes tell each other which brokers have left.
package main

import (
	_ "embed"
	"os"

	"github.com/epitaph-mq/epitaph/cli"
	"github.com/epitaph-mq/epitaph/packed"
)

// What must accompany the program, and so is in it. make notice renews the last two.
var (
	//go:embed LICENSE
	license string
	//go:embed NOTICE
	notice string
	//go:embed THIRD_PARTY_LICENSES.gz
	thirdParty packed.Text
)

func main() {
	os.Exit(cli.Main(os.Args, papers, os.Stdout, os.Stderr))
}

func papers() ([]string, error) {
	libraries, err := thirdParty.Unpack()
	return []string{license, notice, libraries}, err
}
