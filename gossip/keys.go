package gossip

import (
	"bufio"
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/memberlist"

	"github.com/epitaph-mq/epitaph/digest"
)

// maxKeyFile and maxKeys bound a key file: more keys than a rotation needs only cost a try each for every packet.
const (
	maxKeyFile = 64 << 10
	maxKeys    = 16
	keyBytes   = 32
)

// printBytes is how many bytes of a hash are a fingerprint.
const printBytes = 6

// fingerprint tells a key from others and nothing of the key itself: 12 hexadecimal digits.
func fingerprint(key []byte) string {
	sum := sha256.Sum256(append([]byte("epitaph gossip key "), key...))
	return hex.EncodeToString(sum[:printBytes])
}

func fingerprints(keys [][]byte) (all []string) {
	for _, k := range keys {
		all = append(all, fingerprint(k))
	}
	return all
}

// digestSecret is what digests are keyed with at nodes that send with this gossip key.
func digestSecret(key []byte) digest.Secret {
	b, err := hkdf.Key(sha256.New, key, nil, "epitaph digests 1", 40)
	if err != nil {
		panic(err) // it is shorter than what HKDF gives at most
	}
	return digest.Secret{ID: max(binary.LittleEndian.Uint64(b), 1), Key: [32]byte(b[8:])} // 0 is no secret
}

// openToOthers says that every user of this machine may read the file.
func openToOthers(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&0o004 != 0
}

// LoadKeys reads a key file: base64 of 16, 24 or 32 bytes, one key a line; blank lines and lines that begin with #
// are passed over. The first key is used for sending, all of them for receiving.
func LoadKeys(path string) ([][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--gossip-key-file: %w; epitaph keygen FILE makes one, the same for every node", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("--gossip-key-file: %w", err)
	}
	if len(content) > maxKeyFile {
		return nil, fmt.Errorf("--gossip-key-file %s: want at most %d bytes", path, maxKeyFile)
	}
	keys, err := parseKeys(content)
	if err != nil {
		return nil, fmt.Errorf("--gossip-key-file %s: %w", path, err)
	}
	return keys, nil
}

// KeyVariable is the environment variable that may hold the keys, for whoever cannot mount a file.
const KeyVariable = "EPITAPH_GOSSIP_KEY"

// ReadKeys reads what that variable holds: the same as a key file, with commas or line ends between the keys.
func ReadKeys(text string) ([][]byte, error) {
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("%s: want at most %d bytes", KeyVariable, maxKeyFile)
	}
	var lines strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") { // a comment may have commas, too: that of keygen has one
			line = strings.ReplaceAll(line, ",", "\n")
		}
		lines.WriteString(line)
	}
	keys, err := parseKeys([]byte(lines.String()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", KeyVariable, err)
	}
	return keys, nil
}

func parseKeys(content []byte) ([][]byte, error) {
	var keys [][]byte
	lines := bufio.NewScanner(bytes.NewReader(content))
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("line %d is no base64 (epitaph keygen FILE makes a good one)", n)
		}
		if err := memberlist.ValidateKey(key); err != nil {
			return nil, fmt.Errorf("line %d: the key has %d bytes, want 16, 24 or 32 (epitaph keygen FILE makes a good one)", n, len(key))
		}
		if !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) }) {
			keys = append(keys, key)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("no key in it (epitaph keygen FILE makes one)")
	}
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("%d keys, want at most %d", len(keys), maxKeys)
	}
	return keys, nil
}

// GenerateKeyFile makes a key file with one fresh key, readable by its owner only, unless there is one: then it is
// checked and left alone. Several nodes may race for one file: the file appears whole under its name, exactly one
// of them makes it, and all find the same key. made says whether it was this call.
func GenerateKeyFile(path string) (made bool, err error) {
	if _, err := os.Stat(path); err == nil {
		_, err := LoadKeys(path)
		return false, err
	}
	key := make([]byte, keyBytes)
	if _, err := rand.Read(key); err != nil {
		return false, err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".keygen-*")
	if err != nil {
		return false, cannotMake(path, err)
	}
	defer os.Remove(temp.Name())
	_, err = fmt.Fprintf(temp, "# epitaph gossip keys: the first is used for sending, all for receiving\n%s\n",
		base64.StdEncoding.EncodeToString(key))
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return false, fmt.Errorf("make key file: %w", err)
	}
	// A link, unlike a rename, fails when the name is taken: who comes second must not replace the first one's key.
	switch err := os.Link(temp.Name(), path); {
	case err == nil:
		return true, nil
	case errors.Is(err, os.ErrExist):
		_, err := LoadKeys(path)
		return false, err
	default:
		return false, fmt.Errorf("make key file: %w", err)
	}
}

// cannotMake leaves out the name of the temporary file, which means nothing to an operator.
func cannotMake(path string, err error) error {
	var fault *os.PathError
	if errors.As(err, &fault) {
		err = fault.Err
	}
	return fmt.Errorf("the key file %s cannot be made, for nothing can be written into the directory %s: %w; let it exist "+
		"and be writable for the user that runs epitaph, or put a key file there that \"epitaph keygen FILE\" made elsewhere", path, filepath.Dir(path), err)
}

// useKeys makes ring hold exactly keys, the first being the one for sending. At no moment is a key missing that was
// there before and will be there after.
func useKeys(ring *memberlist.Keyring, keys [][]byte) error {
	for _, k := range keys {
		if err := ring.AddKey(k); err != nil {
			return err
		}
	}
	if err := ring.UseKey(keys[0]); err != nil {
		return err
	}
	for _, old := range ring.GetKeys() {
		if !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, old) }) {
			if err := ring.RemoveKey(old); err != nil {
				return err
			}
		}
	}
	return nil
}
