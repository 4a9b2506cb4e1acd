// Command epitaph is a RocketMQ NameServer whose nodes tell each other which brokers have left.
package main

import (
	_ "embed"
	"os"

	"github.com/epitaph-mq/epitaph/cli"
)

// What must accompany the program, and so is in it. make notice renews the last two.
var (
	//go:embed LICENSE
	license string
	//go:embed NOTICE
	notice string
	//go:embed THIRD_PARTY_LICENSES
	thirdParty string
)

func main() {
	os.Exit(cli.Main(os.Args, []string{license, notice, thirdParty}, os.Stdout, os.Stderr))
}
