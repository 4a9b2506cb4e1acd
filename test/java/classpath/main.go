// Command classpath fetches an artifact of Apache RocketMQ with what it needs and prints its class path, for make
// targets that start released Java software. A source file that is named is compiled against it, and its classes are in front.
package main

import (
	"fmt"
	"os"

	"github.com/epitaph-mq/epitaph/test/java"
)

func main() {
	if len(os.Args) != 3 && len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: classpath ARTIFACT VERSION [FILE.java], such as rocketmq-namesrv 5.5.0")
		os.Exit(2)
	}
	path, err := classPath(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, path)
}

func classPath(name, version string, sources []string) (string, error) {
	lib, err := java.Fetch(name, version)
	if err != nil {
		return "", err
	}
	path := java.ClassPath(lib)
	for _, source := range sources {
		classes, err := java.Classes(source, lib)
		if err != nil {
			return "", fmt.Errorf("compile %s: %w", source, err)
		}
		path = classes + string(os.PathListSeparator) + path
	}
	return path, nil
}
