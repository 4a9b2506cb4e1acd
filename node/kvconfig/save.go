package kvconfig

import "github.com/epitaph-mq/epitaph/node/atomicfile"

// save puts content in place of the file and keeps the previous content as path + ".bak", as the original does.
func save(path string, content []byte) error {
	if len(content) > MaxFileBytes {
		return ErrTooLarge
	}
	return atomicfile.Replace(path, content)
}
