// Command epitaph is a RocketMQ NameServer whose nodes tell each other which brokers have left.
package main

import (
	"os"

	"github.com/epitaph-mq/epitaph/cli"
)

func main() { os.Exit(cli.Main(os.Args, os.Stdout, os.Stderr)) }
