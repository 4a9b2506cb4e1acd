// Command strict decodes the objects of a YAML stream on stdin into the types of k8s.io/api, and fails at the first field that a type
// does not have. It prints the kinds that it knows no type of; with the name of a kind as its argument, the object of that kind as JSON. A module of its own: the server needs none of this.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// types are those of the chart, by apiVersion and kind.
var types = map[string]func() any{
	"apps/v1 StatefulSet":                func() any { return &apps.StatefulSet{} },
	"v1 Service":                         func() any { return &core.Service{} },
	"v1 Secret":                          func() any { return &core.Secret{} },
	"networking.k8s.io/v1 NetworkPolicy": func() any { return &networking.NetworkPolicy{} },
	"policy/v1 PodDisruptionBudget":      func() any { return &policy.PodDisruptionBudget{} },
}

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = check(text, strings.Join(os.Args[1:], " "), os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// check prints the object of the kind that is wanted, or what it did.
func check(text []byte, wanted string, out io.Writer) error {
	objects := 0
	for part := range bytes.SplitSeq(append([]byte("\n"), text...), []byte("\n---")) {
		if _, rest, _ := bytes.Cut(part, []byte("\n")); len(bytes.TrimSpace(rest)) > 0 {
			part = rest
		}
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(part, &head); err != nil {
			return err
		}
		if head.Kind == "" {
			continue
		}
		objects++
		name := head.APIVersion + " " + head.Kind
		made, known := types[name]
		switch {
		case known:
			object := made()
			if err := yaml.UnmarshalStrict(part, object); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if head.Kind == wanted {
				return json.NewEncoder(out).Encode(object)
			}
		case strings.HasSuffix(head.APIVersion, ".coreos.com/v1"):
			fmt.Fprintln(out, "not decoded:", name)
		default:
			return fmt.Errorf("no type is known for %s", name)
		}
	}
	if objects == 0 {
		return errors.New("there is no object")
	}
	fmt.Fprintln(out, objects, "objects")
	return nil
}
