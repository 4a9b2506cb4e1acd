package pemkey

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/epitaph-mq/epitaph/test/kit"
)

// goldenKeys are the files of keys.txt by name.
func goldenKeys(t testing.TB) map[string][]byte {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/keys.txt")
	kit.Must(t, err)
	files := map[string][]byte{}
	for _, f := range archive.Files {
		files[f.Name] = f.Data
	}
	return files
}

func passwordOf(name string) string {
	if strings.HasSuffix(name, "/plain") {
		return ""
	}
	return "123456"
}

// beyondJava are encryptions that this program reads and Java does not; all others of that kind are refused.
func beyondJava(name string) bool {
	cipher := name[strings.LastIndexByte(name, '/')+1:]
	switch cipher {
	case "scrypt", "pbes2-des-cbc", "prf-hmacWithMD5", "prf-hmacWithSHA512-224", "prf-hmacWithSHA512-256":
		return true
	}
	return false
}

// java.txt is what the original said to the same files: NAME 5.5.0's verdict 4.9.7's.
func TestGoldenKeys(t *testing.T) {
	files := goldenKeys(t)
	java, err := os.ReadFile("testdata/java.txt")
	kit.Must(t, err)
	loaded := 0
	for line := range strings.Lines(string(java)) {
		f := strings.Fields(line)
		name := f[0]
		text := files[name]
		key, err := Key(text, passwordOf(name))
		if f[1] != "loads" && f[2] != "loads" && !beyondJava(name) {
			if err == nil {
				t.Errorf("%s loads here and nowhere else: say so in beyondJava", name)
			} else if passwordOf(name) != "" && !strings.Contains(err.Error(), "not supported") && !strings.Contains(err.Error(), "encryption") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		loaded++
		kind := strings.Split(name, "/")[1]
		chain, err := Certificates(files[kind+".crt"])
		kit.Must(t, err)
		signer, ok := key.(crypto.Signer)
		if !ok || !signer.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(chain[0].PublicKey) {
			t.Errorf("%s: not the key that it was", name)
		}
		if passwordOf(name) == "" {
			continue
		}
		if _, err := Key(text, "wrong"); err == nil || strings.Contains(err.Error(), "wrong") {
			t.Errorf("%s with a wrong password: %v", name, err)
		}
		if _, err := Key(text, ""); err == nil || !strings.Contains(err.Error(), "no password") {
			t.Errorf("%s without a password: %v", name, err)
		}
	}
	if len(files)-3 != strings.Count(string(java), "\n") || loaded < 100 {
		t.Errorf("%d keys, %d lines in java.txt, %d loaded", len(files)-3, strings.Count(string(java), "\n"), loaded)
	}
}

// Text around the key, as editors and tools leave it.
func TestKeyAmongOtherText(t *testing.T) {
	files := goldenKeys(t)
	plain := files["pkcs8/rsa/plain"]
	for name, text := range map[string][]byte{
		"behind a certificate":        append(bytes.Clone(files["rsa.crt"]), plain...),
		"behind a mark":               append([]byte("\ufeff"), plain...),
		"with CRLF":                   bytes.ReplaceAll(plain, []byte("\n"), []byte("\r\n")),
		"with CR":                     bytes.ReplaceAll(plain, []byte("\n"), []byte("\r")),
		"indented":                    []byte("  " + strings.ReplaceAll(string(plain), "\n", "\n  ")),
		"without a last line":         bytes.TrimSpace(plain),
		"glued to a certificate":      slices.Concat(bytes.TrimSpace(files["rsa.crt"]), plain),
		"behind a mark in the middle": slices.Concat(files["rsa.crt"], []byte("\ufeff"), plain),
		"behind text on its line":     append([]byte("tls.key: "), plain...),
		"before text on its line":     slices.Concat(bytes.TrimSpace(plain), []byte(" # renewed in May\n")),
		"on one line":                 bytes.ReplaceAll(plain, []byte("\n"), []byte(" ")),
		"with four dashes":            bytes.ReplaceAll(plain, []byte("-----"), []byte("----")),
		"with bag attributes":         append([]byte("Bag Attributes\n    localKeyID: 01\nKey Attributes: <No Attributes>\n"), plain...),
	} {
		if key, err := Key(text, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if _, ok := key.(*rsa.PrivateKey); !ok {
			t.Errorf("%s: %T", name, key)
		}
	}
	parameters := "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
	if _, err := Key(append([]byte(parameters), files["sec1/ec/plain"]...), ""); err != nil {
		t.Errorf("behind EC PARAMETERS: %v", err)
	}
	unsaid := bytes.ReplaceAll(files["pkcs8/rsa/pbe-SHA1-3DES"], []byte("ENCRYPTED "), nil)
	if _, err := Key(unsaid, "123456"); err != nil {
		t.Errorf("encrypted, and not said so: %v", err)
	}
	if _, err := Key(unsaid, "wrong"); err == nil {
		t.Error("encrypted, and not said so: any password will do")
	}
	if _, err := Key(files["sec1/ec/des-ede3-cbc"], "123456"); err != nil {
		t.Error(err)
	}
}

// No certificate of a file is lost because of what stands beside its first or last line: the original takes all of these, but
// of two that are glued together only the first.
func TestCertificatesAmongOtherText(t *testing.T) {
	files := goldenKeys(t)
	first, second := files["rsa.crt"], files["ec.crt"]
	for name, text := range map[string][]byte{
		"glued":               slices.Concat(bytes.TrimSpace(first), second),
		"marks":               slices.Concat([]byte("\ufeff"), first, []byte("\ufeff"), second),
		"text behind the end": slices.Concat(bytes.TrimSpace(first), []byte(" # leaf\n"), second),
		"text before":         slices.Concat([]byte("leaf: "), first, []byte("authority: "), second),
		"a key between":       slices.Concat(bytes.TrimSpace(first), bytes.TrimSpace(files["pkcs8/rsa/plain"]), second),
		"four dashes":         bytes.ReplaceAll(slices.Concat(first, second), []byte("-----"), []byte("----")),
		"former label":        bytes.ReplaceAll(slices.Concat(first, second), []byte(" CERT"), []byte(" X.509 CERT")),
		"one line":            bytes.ReplaceAll(slices.Concat(first, second), []byte("\n"), []byte(" ")),
	} {
		chain, err := Certificates(text)
		if err != nil || len(chain) != 2 || chain[0].Subject.CommonName != "rsa" || chain[1].Subject.CommonName != "ec" {
			t.Errorf("%s: %d certificates, %v", name, len(chain), err)
		}
	}
}

func TestCertificatesSaysWhatIsWrong(t *testing.T) {
	files := goldenKeys(t)
	chain, err := Certificates(append(bytes.Clone(files["rsa.crt"]), files["ec.crt"]...))
	if err != nil || len(chain) != 2 || chain[0].Subject.CommonName != "rsa" {
		t.Errorf("%d certificates, %v", len(chain), err)
	}
	trusted := bytes.ReplaceAll(files["rsa.crt"], []byte("CERTIFICATE"), []byte("TRUSTED CERTIFICATE"))
	if chain, err := Certificates(trusted); err != nil || len(chain) != 1 {
		t.Errorf("trusted: %d certificates, %v", len(chain), err)
	}
	for want, text := range map[string][]byte{
		"empty":                        []byte(" \n"),
		"private key and no":           files["pkcs8/rsa/plain"],
		"DER":                          chain[0].Raw,
		"no certificate in PEM":        []byte("hello"),
		"certificate 1 in it: ":        []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
		"no certificate in PEM (-----": []byte("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"),
	} {
		if _, err := Certificates(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

// A certificate that is damaged is told, wherever it stands; one that is cut off before its end is no block, as at the originals.
func TestNoDamagedCertificateIsPassedOver(t *testing.T) {
	files := goldenKeys(t)
	first, second := files["rsa.crt"], files["ec.crt"]
	damaged := bytes.Replace(first, []byte("MII"), []byte("M?I"), 1)
	for name, text := range map[string][]byte{"the first": slices.Concat(damaged, second), "the last": slices.Concat(second, damaged)} {
		if chain, err := Certificates(text); err == nil || !strings.Contains(err.Error(), "1 of the 2 certificates") {
			t.Errorf("%s: %d certificates, %v", name, len(chain), err)
		}
	}
	if chain, err := Certificates(append(bytes.Clone(second), first[:len(first)/2]...)); len(chain) != 1 || err != nil {
		t.Errorf("cut off: %d certificates, %v", len(chain), err)
	}
}

// RFC 2268, section 5.
func TestRC2Vectors(t *testing.T) {
	for _, v := range []struct {
		key           string
		bits          int
		plain, cipher string
	}{
		{"0000000000000000", 63, "0000000000000000", "ebb773f993278eff"},
		{"ffffffffffffffff", 64, "ffffffffffffffff", "278b27e42e2f0d49"},
		{"3000000000000000", 64, "1000000000000001", "30649edf9be7d2c2"},
		{"88", 64, "0000000000000000", "61a8a244adacccf0"},
		{"88bca90e90875a", 64, "0000000000000000", "6ccf4308974c267f"},
		{"88bca90e90875a7f0f79c384627bafb2", 64, "0000000000000000", "1a807d272bbe5db1"},
		{"88bca90e90875a7f0f79c384627bafb2", 128, "0000000000000000", "2269552ab0f85ca6"},
		{"88bca90e90875a7f0f79c384627bafb216f80a6f85920584c42fceb0be255daf1e", 129, "0000000000000000", "5b78d3a43dfff1f1"},
	} {
		c, err := newRC2Bits(unhex(t, v.key), v.bits)
		kit.Must(t, err)
		out := make([]byte, 8)
		if c.Encrypt(out, unhex(t, v.plain)); hex.EncodeToString(out) != v.cipher {
			t.Errorf("%s/%d: %x", v.key, v.bits, out)
		}
		if c.Decrypt(out, unhex(t, v.cipher)); hex.EncodeToString(out) != v.plain {
			t.Errorf("%s/%d back: %x", v.key, v.bits, out)
		}
	}
}

// The vectors that implementations of PKCS#12's appendix B share.
func TestPKCS12Vectors(t *testing.T) {
	for _, v := range []struct {
		password, salt string
		purpose        byte
		iterations, n  int
		want           string
	}{
		{"smeg", "0a58cf64530d823f", pkcs12Key, 1, 24, "8aaae6297b6cb04642ab5b077851284eb7128f1a2a7fbca3"},
		{"smeg", "0a58cf64530d823f", pkcs12IV, 1, 8, "79993dfe048d3b76"},
		{"queeg", "05dec959acff72f7", pkcs12Key, 1000, 24, "ed2034e36328830ff09df1e1a07dd357185dac0d4f9eb3d4"},
		{"queeg", "05dec959acff72f7", pkcs12IV, 1000, 8, "11dedad7758d4860"},
	} {
		if got := hex.EncodeToString(pkcs12Bytes(v.purpose, v.password, unhex(t, v.salt), v.iterations, v.n)); got != v.want {
			t.Errorf("%s %d: %s", v.password, v.purpose, got)
		}
	}
}

// A file says how much work it is to open it, and none says hours.
func TestWorkIsBounded(t *testing.T) {
	scrypt := func(n, r, p int) pkix.AlgorithmIdentifier {
		params, err := asn1.Marshal(struct {
			Salt    []byte
			N, R, P int
		}{[]byte("salt"), n, r, p})
		kit.Must(t, err)
		return pkix.AlgorithmIdentifier{
			Algorithm: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}, Parameters: asn1.RawValue{FullBytes: params},
		}
	}
	for _, c := range []struct {
		n, r, p int
		takes   bool
	}{{1 << 14, 8, 1, true}, {1 << 17, 16, 2, false}, {1 << 18, 8, 2, false}, {1 << 19, 8, 1, false}, {1 << 14, 8, 1024, false}} {
		algorithm := scrypt(c.n, c.r, c.p)
		if _, err := derive(&algorithm, "123456", 32); (err == nil) != c.takes {
			t.Errorf("N %d, r %d, p %d: %v", c.n, c.r, c.p, err)
		}
	}
	for n, takes := range map[int]bool{0: false, 1: true, maxIterations: true, maxIterations + 1: false} {
		if err := checkIterations(n); (err == nil) != takes {
			t.Errorf("%d iterations: %v", n, err)
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	kit.Must(t, err)
	return b
}

// Whatever a file holds, reading it ends, and soon.
func FuzzKey(f *testing.F) {
	for name, text := range goldenKeys(f) {
		if strings.Contains(name, "/ec/") {
			f.Add(text, "123456")
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, password string) {
		if key, err := Key(text, password); err == nil && key == nil {
			t.Error("neither key nor error")
		}
		_, _ = Certificates(text)
	})
}
