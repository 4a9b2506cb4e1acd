package cli

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// startupClass is the class that Java is started with for a NameServer.
const startupClass = "org.apache.rocketmq.namesrv.NamesrvStartup"

// logbackOption begins the option by which RocketMQ's start script names the file of logging; its directory's parent is
// ROCKETMQ_HOME, by which mqshutdown finds the processes of its own installation.
const logbackOption = "-Drmq.logback.configurationFile="

// becomer gives the process another command line and environment; it returns only when that fails.
type becomer func(argv, environ []string) error

// becomeSelf runs this program once more in the same process.
func becomeSelf(argv, environ []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, argv, environ)
}

// lookLikeJava makes the process show the command line that a Java NameServer shows behind the options of its machine:
// mqshutdown, its copies and watchdogs find a NameServer by "java" and the class in it, and some by "mqnamesrv". The
// process id stays. Where it cannot be done the process goes on as it is.
func (p *program) lookLikeJava(home string, args []string) {
	if p.become == nil {
		return
	}
	argv := []string{"java", "-Dprogram=mqnamesrv"}
	environ := p.environ
	if home != "" {
		argv = append(argv, logbackOption+filepath.Join(home, "conf", "rmq.namesrv.logback.xml"))
		environ = append(slices.Clone(environ), "ROCKETMQ_HOME="+home)
	}
	_ = p.become(append(append(argv, startupClass), args...), environ)
}

// asJava takes apart a command line such as lookLikeJava makes: the options before the class and the arguments behind it.
func asJava(argv []string) (options, args []string, ok bool) {
	if len(argv) == 0 || filepath.Base(argv[0]) != "java" {
		return nil, nil, false
	}
	class := slices.Index(argv, startupClass)
	if class < 0 {
		return nil, nil, false
	}
	return argv[1:class], argv[class+1:], true
}
