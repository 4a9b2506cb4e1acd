// Command classpath fetches an artifact of Apache RocketMQ with what it needs and prints its class path, for make
// targets that start released Java software.
package main

import (
	"fmt"
	"os"

	"github.com/epitaph-mq/epitaph/test/java"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: classpath ARTIFACT VERSION, such as rocketmq-namesrv 5.5.0")
		os.Exit(2)
	}
	dir, err := java.Fetch(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, java.ClassPath(dir))
}
