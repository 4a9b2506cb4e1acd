package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/epitaph-mq/epitaph/node/config"
	"github.com/epitaph-mq/epitaph/node/properties"
)

// maxPropertiesBytes is far beyond any real configuration file.
const maxPropertiesBytes = 4 << 20

// loadConfigFile sets what a NameServer's properties file holds and makes the file the place where run-time changes
// are persisted. faults are of the type *config.Fault, or say that a change has not left the file whole.
func loadConfigFile(cfg *config.Config, file string) (faults []error, unknown []string, err error) {
	text, err := readText(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w%s", err, config.PutBack(file))
	}
	if err != nil {
		return nil, nil, err
	}
	if lost := config.CheckWhole(file, text); lost != nil {
		faults = append(faults, lost)
	}
	entries, err := parseProperties(file, text)
	if err != nil {
		return faults, nil, err
	}
	read, unknown := cfg.ApplyFile(file, entries)
	for _, f := range read {
		faults = append(faults, f)
	}
	cfg.File, cfg.Options.ConfigStorePath = file, file
	return faults, unknown, nil
}

// loadTLSFile overrides the TLS settings with those of tls.config.file. That need not be there unless it was named; one
// that is there must be readable. The error is a *config.Fault when the file cannot be opened, which the original overlooks.
func loadTLSFile(cfg *config.Config) error {
	t := &cfg.TLS
	if t.AsOriginal && t.Mode == config.TLSDisabled {
		return nil
	}
	entries, err := readProperties(t.ConfigFile)
	var path *fs.PathError
	switch {
	case err == nil:
		t.ApplyFile(entries)
	case errors.Is(err, fs.ErrNotExist) && !t.FileNamed():
	case errors.As(err, &path):
		return &config.Fault{Key: "tls.config.file", Value: t.ConfigFile, Remedy: "it cannot be read: " + path.Err.Error()}
	default:
		return fmt.Errorf("tls.config.file: %w", err)
	}
	return nil
}

func readProperties(file string) ([]properties.Entry, error) {
	text, err := readText(file)
	if err != nil {
		return nil, err
	}
	return parseProperties(file, text)
}

func readText(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPropertiesBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxPropertiesBytes {
		return nil, fmt.Errorf("%s: larger than %d bytes, so hardly a properties file", file, maxPropertiesBytes)
	}
	return text, nil
}

func parseProperties(file string, text []byte) ([]properties.Entry, error) {
	entries, err := properties.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return entries, nil
}

func unknownKeys(file string, keys []string) []warning {
	if len(keys) == 0 {
		return nil
	}
	return []warning{{"configuration file has keys that no NameServer knows; they are kept and have no effect",
		[]any{"file", file, "keys", keys}}}
}
