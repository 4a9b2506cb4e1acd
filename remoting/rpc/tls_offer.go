package rpc

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// offer is what of TLS a server offers (tls.protocols, tls.ciphers).
type offer struct {
	min, max uint16   // versions; 0: Go's defaults
	suites   []uint16 // of TLS 1.2; nil: Go's defaults
	left     []string // what was asked for and is not offered, and why
}

// openSSL are OpenSSL's names of the suites that Go has; those of TLS 1.3 have the same name everywhere.
func openSSL() map[string]string {
	return map[string]string{
		"AES128-SHA":                    "TLS_RSA_WITH_AES_128_CBC_SHA",
		"AES256-SHA":                    "TLS_RSA_WITH_AES_256_CBC_SHA",
		"AES128-SHA256":                 "TLS_RSA_WITH_AES_128_CBC_SHA256",
		"AES128-GCM-SHA256":             "TLS_RSA_WITH_AES_128_GCM_SHA256",
		"AES256-GCM-SHA384":             "TLS_RSA_WITH_AES_256_GCM_SHA384",
		"DES-CBC3-SHA":                  "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
		"RC4-SHA":                       "TLS_RSA_WITH_RC4_128_SHA",
		"ECDHE-ECDSA-AES128-SHA":        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
		"ECDHE-ECDSA-AES256-SHA":        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
		"ECDHE-ECDSA-AES128-SHA256":     "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
		"ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
		"ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
		"ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
		"ECDHE-ECDSA-RC4-SHA":           "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
		"ECDHE-RSA-AES128-SHA":          "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
		"ECDHE-RSA-AES256-SHA":          "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
		"ECDHE-RSA-AES128-SHA256":       "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
		"ECDHE-RSA-AES128-GCM-SHA256":   "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
		"ECDHE-RSA-AES256-GCM-SHA384":   "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
		"ECDHE-RSA-CHACHA20-POLY1305":   "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
		"ECDHE-RSA-DES-CBC3-SHA":        "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
		"ECDHE-RSA-RC4-SHA":             "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
	}
}

// suite finds a suite by Java's name (also with SSL_ in front) or OpenSSL's.
func suite(name string) *tls.CipherSuite {
	upper := strings.ToUpper(name)
	if known, ok := openSSL()[upper]; ok {
		upper = known
	}
	if rest, old := strings.CutPrefix(upper, "SSL_"); old {
		upper = "TLS_" + rest
	}
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if s.Name == upper {
			return s
		}
	}
	return nil
}

func only13(s *tls.CipherSuite) bool {
	return slices.Equal(s.SupportedVersions, []uint16{tls.VersionTLS13})
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(",:; \t", r) })
}

// newOffer reads the two lists. Go lets nobody choose among the suites of TLS 1.3: a list that has some of them and not
// all is served by TLS 1.2 alone. asOriginal offers all of them instead, for the original serves TLS 1.3 then.
func newOffer(protocols, ciphers string, asOriginal bool) (offer, error) {
	o, err := versions(protocols)
	if err != nil || ciphers == "" {
		return o, err
	}
	var of13, lacking []string // suites of TLS 1.3: asked for, and not
	for _, name := range words(ciphers) {
		switch s := suite(name); {
		case s == nil:
			o.left = append(o.left, name+" (Go has no such cipher suite)")
		case only13(s):
			of13 = append(of13, s.Name)
		case !slices.Contains(o.suites, s.ID):
			o.suites = append(o.suites, s.ID)
		}
	}
	for _, s := range tls.CipherSuites() {
		if only13(s) && !slices.Contains(of13, s.Name) {
			lacking = append(lacking, s.Name)
		}
	}
	fault := func(why string) error { return fmt.Errorf("tls.ciphers=%q: %s", ciphers, why) }
	if len(of13) == 0 && len(o.suites) == 0 {
		return o, fault("Go has none of these cipher suites: name one that it has, such as TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")
	}
	serves12, serves13 := o.min <= tls.VersionTLS12 && len(o.suites) > 0, o.max == 0 || o.max >= tls.VersionTLS13
	switch {
	case !serves13 && !serves12:
		return o, fault("all of these cipher suites are of TLS 1.3, which tls.protocols leaves out")
	case !serves13:
	case len(lacking) == 0, len(of13) > 0 && asOriginal:
		if len(lacking) > 0 {
			o.left = append(o.left, "the choice among the cipher suites of TLS 1.3: Go always offers all of them")
		}
		if len(o.suites) == 0 {
			o.min = tls.VersionTLS13
		}
	case serves12:
		o.max = tls.VersionTLS12
		if len(of13) > 0 {
			o.left = append(o.left, "TLS 1.3 (Go offers all of its cipher suites or none: name "+strings.Join(lacking, ", ")+" too)")
		}
	default:
		return o, fault("Go offers all cipher suites of TLS 1.3 or none: name " + strings.Join(lacking, ", ") +
			" too, or one of TLS 1.2 that Go has, such as TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, and allow TLSv1.2")
	}
	return o, nil
}

// versions reads tls.protocols. Those before 1.2 are not offered: the JDK has them switched off, too.
func versions(protocols string) (o offer, err error) {
	if protocols == "" {
		return o, nil
	}
	for _, name := range words(protocols) {
		var v uint16
		switch strings.ToLower(name) {
		case "tlsv1.2":
			v = tls.VersionTLS12
		case "tlsv1.3":
			v = tls.VersionTLS13
		case "tlsv1", "tlsv1.0", "tlsv1.1", "sslv3", "sslv2", "sslv2hello":
			o.left = append(o.left, name+" (it is not safe)")
			continue
		default:
			return o, fmt.Errorf("tls.protocols=%q: there is no protocol %s; want TLSv1.2, TLSv1.3 or both with a comma between them", protocols, name)
		}
		if o.min == 0 || v < o.min {
			o.min = v
		}
		o.max = max(o.max, v)
	}
	if o.min == 0 {
		return o, fmt.Errorf("tls.protocols=%q: none of these is safe; want TLSv1.2, TLSv1.3 or both with a comma between them", protocols)
	}
	return o, nil
}

// apply sets what is offered. The error says that no suite fits the certificate's key, so that every handshake would fail.
func (o *offer) apply(conf *tls.Config, ciphers string) error {
	conf.MinVersion, conf.MaxVersion, conf.CipherSuites = o.min, o.max, o.suites
	if len(o.suites) == 0 || o.max == 0 || o.max >= tls.VersionTLS13 || len(conf.Certificates) == 0 {
		return nil
	}
	kind := ""
	switch conf.Certificates[0].Leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		kind = "RSA"
	case *ecdsa.PublicKey, ed25519.PublicKey:
		kind = "ECDSA"
	}
	for _, id := range o.suites {
		if strings.Contains(tls.CipherSuiteName(id), "_"+kind+"_WITH_") {
			return nil
		}
	}
	return plain{errors.New("tls.ciphers=\"" + ciphers + "\": none of these cipher suites can be used with the certificate, whose key is of " + kind)}
}
