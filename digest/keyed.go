package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Secret keys the hashes of keys and items, so that nobody outside the cluster can tell which items are compared, or make two
// sets that differ look alike. The zero Secret is none: hashes are those of former releases, and of nodes without gossip keys.
type Secret struct {
	ID  uint64 // tells a secret from others, and nothing of it
	Key [32]byte
}

// sum is the same at every node that has the secret, and in every release.
func (s *Secret) sum(b []byte) uint64 {
	if s.ID == 0 {
		return xxhash.Sum64(b)
	}
	var room [512]byte
	all := sha256.Sum256(append(append(room[:0], s.Key[:]...), b...))
	return binary.LittleEndian.Uint64(all[:]) // three quarters are missing: nobody can go on from there
}

func (k *Key) hash(s *Secret) uint64 {
	var room [256]byte
	b := room[:0]
	for _, text := range []string{k.Cluster, k.Name, k.Addr} {
		b = append(binary.LittleEndian.AppendUint64(b, uint64(len(text))), text...)
	}
	return s.sum(binary.LittleEndian.AppendUint64(b, uint64(k.ID)))
}

// sum is the hash of an item whose key has the hash key.
func (i *Item) sum(s *Secret, key uint64) uint64 {
	var b [8 * 7]byte
	for n, v := range []uint64{
		key, uint64(i.Version.StateVersion), uint64(i.Version.Timestamp), uint64(i.Version.Counter),
		uint64(i.Topics)<<32 | uint64(i.Writable), uint64(i.Kept), i.Hash,
	} {
		binary.LittleEndian.PutUint64(b[8*n:], v)
	}
	return s.sum(b[:])
}

// maxText is what fits of each string of a key that is too long for a message.
const maxText = MaxKey/3 - 1

// fitting is the key, or what stands for one that is too long: the beginnings of its strings, each with a hash of the whole.
func (k Key) fitting() Key {
	if k.size() <= MaxKey {
		return k
	}
	for _, text := range []*string{&k.Cluster, &k.Name, &k.Addr} {
		if len(*text) > maxText {
			hash := sha256.Sum256([]byte(*text))
			end := "~" + hex.EncodeToString(hash[:16])
			*text = strings.ToValidUTF8((*text)[:maxText-len(end)], "") + end
		}
	}
	return k
}
