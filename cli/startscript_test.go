package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// What an operator wrote into runserver.sh reaches the node, in the order in which a shell would put it together; what
// only a shell can know is told, and nothing else is.
func TestStartScriptIsRead(t *testing.T) {
	const stock = "JAVA_OPT=\"${JAVA_OPT} -server -Xms4g\"\nJAVA_OPT=\"${JAVA_OPT} ${JAVA_OPT_EXT}\"\n"
	for name, c := range map[string]struct {
		env    []string
		script string
		want   string // definitions, in order
		warned string // part of a warning, or empty for none
	}{
		"as it comes": {script: stock + `"$JAVA" ${JAVA_OPT} $@`},
		"the recipe for TLS": {script: stock + `JAVA_OPT="${JAVA_OPT} -Dtls.server.mode=enforcing -Dtls.config.file=/etc/tls.properties"` + "\n" + `$JAVA ${JAVA_OPT} $@`,
			want: "-Dtls.server.mode=enforcing -Dtls.config.file=/etc/tls.properties", warned: "are taken"},
		"variables of the environment": {env: []string{"JAVA_OPT=-Da=1", "JAVA_OPT_EXT=-Da=2"}, script: stock + `exec "$JAVA" ${JAVA_OPT} "$@"`, want: "-Da=1 -Da=2"},
		"JAVA_OPT started over":        {env: []string{"JAVA_OPT=-Da=1"}, script: "JAVA_OPT='-Db=2'\n${JAVA} ${JAVA_OPT} $@", want: "-Db=2", warned: "are taken"},
		"no variables":                 {env: []string{"JAVA_OPT=-Da=1"}, script: "exec /usr/bin/java -Db=2 -cp x org.Main -c f $@", want: "-Db=2", warned: "are taken"},
		"no command":                   {script: stock + "export JAVA_OPT=\"${JAVA_OPT} -Da=1\"\n", want: "-Da=1", warned: "are taken"},
		"+=":                           {script: "JAVA_OPT+=\" -Da=1\"\njava $JAVA_OPT $@", want: "-Da=1", warned: "are taken"},
		"lines joined":                 {script: "JAVA_OPT=\"${JAVA_OPT} -Da=1 \\\n  -Db=2\"\njava $JAVA_OPT $@", want: "-Da=1 -Db=2", warned: "are taken"},
		"comments":                     {script: "#JAVA_OPT=\"-Da=1\"\n  # -Db=2\njava $JAVA_OPT -Dc=3 $@ # -Dd=4", want: "-Dc=3", warned: "are taken"},
		"variables of the script":      {script: "D=/data/$USERNAME\nJAVA_OPT=\"-Duser.home=${D} -Dq=${NONE:-x}\"\njava $JAVA_OPT $@", env: []string{"USERNAME=u"}, want: "-Duser.home=/data/u -Dq=x", warned: "are taken"},
		"beside the script":            {script: "BASE_DIR=$(dirname $0)/..\njava -Dtls.config.file=${BASE_DIR}/conf/tls.properties $@", want: "-Dtls.config.file=HOME/bin/../conf/tls.properties", warned: "are taken"},
		"a branch":                     {script: "if [ -n \"$TLS\" ]; then\n  JAVA_OPT=\"-Da=1\"\nfi\njava $JAVA_OPT $@", want: "-Da=1", warned: "branch"},
		"a branch on one line":         {script: "[ -n \"$TLS\" ] && JAVA_OPT=\"-Da=1\"\njava $JAVA_OPT $@", want: "-Da=1", warned: "branch"},
		"a function":                   {script: "options()\n{\n  JAVA_OPT=\"-Da=1\"\n}\noptions\njava $JAVA_OPT $@", want: "-Da=1", warned: "branch"},
		"behind a branch":              {script: "if x; then y; fi\ncase z in\n *) ;;\nesac\nJAVA_OPT=\"-Da=1\"\njava $JAVA_OPT $@", want: "-Da=1", warned: "are taken"},
		"a value of a command":         {script: "JAVA_OPT=\"-Da=1 -Dhost=$(hostname -i)\"\njava $JAVA_OPT $@", want: "-Da=1", warned: "-Dhost=?"},
		"a value in backticks":         {script: "JAVA_OPT=\"-Dhost=`hostname`\"\njava $JAVA_OPT $@", warned: "-Dhost=?"},
		"options of a command":         {script: "JAVA_OPT=\"$(cat /etc/opts)\"\njava $JAVA_OPT $@", warned: "lost"},
		"heap of a command":            {script: "JAVA_OPT=\"-Xmx$(free)m -cp $(pwd):x\"\njava $JAVA_OPT $@"},
		"a value of several lines":     {script: "JAVA_OPT=\"${JAVA_OPT}\n  -Da=1 # no comment\n  -Db='2'\"\n# don't\njava $JAVA_OPT $@ # don't", want: "-Da=1 -Db='2'", warned: "are taken"},
		"several on one line":          {script: "D=/d; JAVA_OPT=\"-Da=$D\" && export E=5 F=6; java $JAVA_OPT -De=$E -Df=$F $@", want: "-Da=/d -De=5 -Df=6", warned: "are taken"},
		"a variable for one command":   {script: "TZ=UTC exec java -Da=1 $@", want: "-Da=1", warned: "are taken"},
		"another file":                 {script: ". $ROCKETMQ_HOME/conf/env.sh\njava $JAVA_OPT -Da=1 $@", want: "-Da=1", warned: ". $ROCKETMQ_HOME/conf/env.sh"},
		"source, eval and set":         {script: "source env.sh\neval \"$X\"\nset -- -Dx=1 \"$@\"\nset -e\njava $JAVA_OPT $@", warned: "source env.sh eval \"$X\" set -- -Dx=1 \"$@\""},
		"a loop":                       {script: "for i in 1 2; do JAVA_OPT=\"-Da=$i\"; done\njava $JAVA_OPT $@", warned: "-Da=?"},
		"an unclosed quote":            {script: "JAVA_OPT=\"-Da=1\njava '$JAVA_OPT"},
	} {
		home := t.TempDir()
		kit.Must(t, os.Mkdir(filepath.Join(home, "bin"), 0o700))
		kit.Must(t, os.WriteFile(filepath.Join(home, "bin", "runserver.sh"), []byte("#!/bin/sh\n"+c.script+"\n"), 0o700))
		p := &program{environ: c.env}
		s := p.readStartScript(home)
		words := slices.DeleteFunc(slices.Clone(p.commandLine(s)), func(word string) bool { return !isDefinition(word) })
		if got := strings.ReplaceAll(strings.Join(words, " "), home, "HOME"); got != c.want && name != "an unclosed quote" {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
		var told []string
		for _, w := range s.warnings(p) {
			for _, arg := range append(w.args, w.text) {
				switch arg := arg.(type) {
				case string:
					told = append(told, arg)
				case []string:
					told = append(told, arg...)
				}
			}
		}
		if got := strings.Join(told, " "); !strings.Contains(got, c.warned) || (c.warned == "") != (got == "") && name != "an unclosed quote" {
			t.Errorf("%s: warned %q, want %q", name, got, c.warned)
		}
	}
	if s := (&program{}).readStartScript(t.TempDir()); s != nil {
		t.Errorf("read %+v where there is nothing", s)
	}
}
