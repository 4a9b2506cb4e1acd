package kit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"
)

// ClientChain is what a client shows to prove who it is.
type ClientChain struct {
	Name  string
	Chain []*Identity
	Taken bool     // by this program
	Else  []string // the releases of RocketMQ, on JDK 17, that say the opposite
}

// TLS shows the chain whatever the server asks for.
func (c ClientChain) TLS() *tls.Config {
	cert := &tls.Certificate{PrivateKey: c.Chain[0].Key}
	for _, id := range c.Chain {
		cert.Certificate = append(cert.Certificate, id.Cert.Raw)
	}
	return &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }}
}

type change = func(*x509.Certificate)

// bare leaves no extensions but by changes.
func bare(changes ...change) []change {
	return append([]change{func(c *x509.Certificate) { c.IsCA, c.KeyUsage, c.ExtKeyUsage, c.IPAddresses = false, 0, nil, nil }}, changes...)
}

// IssueBare is Issue of a certificate that has no extensions but by changes.
func (ca *Identity) IssueBare(t testing.TB, name string, changes ...func(*x509.Certificate)) *Identity {
	t.Helper()
	return ca.Issue(t, name, bare(changes...)...)
}

func isCA(c *x509.Certificate) { c.IsCA = true }
func old(c *x509.Certificate)  { c.NotAfter = time.Now().Add(-time.Minute) }
func early(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
}

func uses(use ...x509.ExtKeyUsage) change {
	return func(c *x509.Certificate) { c.ExtKeyUsage = use }
}

func usage(u x509.KeyUsage) change { return func(c *x509.Certificate) { c.KeyUsage = u } }

func signedBy(a x509.SignatureAlgorithm) change {
	return func(c *x509.Certificate) { c.SignatureAlgorithm = a }
}

func extension(critical bool) change {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: critical, Value: []byte{5, 0}})
	}
}

// ClientChains are chains of every kind that is known to be judged in more than one way, and the file of those whom the server trusts.
// Each was shown to Java.
func ClientChains(t testing.TB) (chains []ClientChain, trust []byte) {
	t.Helper()
	const client, server = x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	issue := func(ca *Identity, name string, changes ...change) *Identity { return ca.IssueBare(t, name, changes...) }
	root := issue(nil, "root", isCA)
	trusted := []*Identity{root}
	trusts := func(id *Identity) *Identity {
		trusted = append(trusted, id)
		return id
	}
	add := func(name string, taken bool, chain ...*Identity) {
		chains = append(chains, ClientChain{Name: name, Chain: chain, Taken: taken})
	}
	unlikeJava := func() { chains[len(chains)-1].Else = []string{"5.5.0", "4.9.7"} }
	leaf := func(name string, taken bool, changes ...change) { add(name, taken, issue(root, "c", changes...)) }
	below := func(name string, taken bool, changes ...change) {
		middle := issue(root, name, changes...)
		add(name, taken, issue(middle, "c"), middle)
	}

	// What it may be used for.
	leaf("no extensions", true)
	leaf("for clients", true, uses(client))
	leaf("for servers", false, uses(server))
	leaf("for both", true, uses(server, client))
	leaf("for anything", true, uses(x509.ExtKeyUsageAny))
	leaf("for code", false, uses(x509.ExtKeyUsageCodeSigning))
	leaf("for mail", false, uses(x509.ExtKeyUsageEmailProtection))
	leaf("for IPsec", false, uses(x509.ExtKeyUsageIPSECEndSystem))
	leaf("for time stamps", false, uses(x509.ExtKeyUsageTimeStamping))
	leaf("for status answers", false, uses(x509.ExtKeyUsageOCSPSigning))
	leaf("for something private", false, func(c *x509.Certificate) {
		c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 99999, 2}}
	})
	leaf("for clients and something private", true, uses(client), func(c *x509.Certificate) {
		c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 99999, 2}}
	})
	leaf("signs", true, usage(x509.KeyUsageDigitalSignature))
	leaf("does not sign", false, usage(x509.KeyUsageKeyEncipherment))
	leaf("agrees on keys alone", false, usage(x509.KeyUsageKeyAgreement))
	leaf("signs certificates alone", false, usage(x509.KeyUsageCertSign))
	leaf("commits", false, usage(x509.KeyUsageContentCommitment))
	leaf("signs and encrypts", true, usage(x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment))
	leaf("is an authority", true, isCA)
	leaf("has no basic constraints", true, func(c *x509.Certificate) { c.BasicConstraintsValid = false })

	// When, who, and what else stands in it.
	leaf("old", false, old)
	leaf("not yet", false, early)
	leaf("for a century", true, func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(100, 0, 0) })
	leaf("unknown extension", true, extension(false))
	leaf("unknown critical extension", false, extension(true))
	leaf("no subject", true, func(c *x509.Certificate) { c.Subject = pkix.Name{} })
	unlikeJava()
	leaf("subject that is the root's", true, func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "root"} })
	leaf("long subject", true, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "c", Organization: []string{"o", "p"}, Country: []string{"CN"}, Locality: []string{"杭州"}}
	})
	leaf("names", true, func(c *x509.Certificate) {
		c.DNSNames, c.EmailAddresses = []string{"a.example", "*.b"}, []string{"a@b.example"}
	})
	leaf("serial number 0", true, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(0) })
	leaf("serial number of 20 bytes", true, func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 158) })
	leaf("policy", true, func(c *x509.Certificate) { c.PolicyIdentifiers = []asn1.ObjectIdentifier{{1, 2, 3}} })
	leaf("where its list of the revoked is", true, func(c *x509.Certificate) {
		c.CRLDistributionPoints, c.OCSPServer = []string{"http://127.0.0.1:1/crl"}, []string{"http://127.0.0.1:1/"}
	})
	leaf("key identifier that is not the root's", true, func(c *x509.Certificate) { c.AuthorityKeyId = []byte{1, 2, 3} })

	// Kinds of keys and signatures.
	keyed := func(name string, taken bool, key crypto.Signer, err error) {
		Must(t, err)
		add(name, taken, root.IssueFor(t, "c", key, bare()...))
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	keyed("key on P-384", true, p384, err)
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	keyed("key on P-521", true, p521, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	keyed("key of Ed25519", true, ed, err)
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	keyed("key of RSA with 2048 bits", true, rsa2048, err)
	rsa3072, err := rsa.GenerateKey(rand.Reader, 3072)
	keyed("key of RSA with 3072 bits", true, rsa3072, err)
	leaf("signed with SHA-384", true, signedBy(x509.ECDSAWithSHA384))
	leaf("signed with SHA-512", true, signedBy(x509.ECDSAWithSHA512))
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	Must(t, err)
	rsaRoot := trusts((*Identity)(nil).IssueFor(t, "root of RSA", rsaKey, bare(isCA)...))
	add("root of RSA", true, issue(rsaRoot, "c"))
	add("root of RSA, SHA-512", true, issue(rsaRoot, "c", signedBy(x509.SHA512WithRSA)))
	add("root of RSA, PSS", true, issue(rsaRoot, "c", signedBy(x509.SHA256WithRSAPSS)))

	// Authorities between it and the root.
	middle := issue(root, "middle", isCA)
	deeper := issue(middle, "deeper", isCA)
	short := issue(root, "short", isCA, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	tooLong := issue(short, "below short", isCA)
	alone := trusts(issue(nil, "alone"))
	add("middle", true, issue(middle, "c"), middle)
	add("middle and root", true, issue(middle, "c"), middle, root)
	add("middle behind a stray one", true, issue(middle, "c"), alone, middle)
	add("middle twice", true, issue(middle, "c"), middle, middle)
	add("itself twice", true, slices.Repeat([]*Identity{issue(root, "c")}, 2)...)
	add("root before middle", true, issue(middle, "c"), root, middle)
	add("middle missing", false, issue(middle, "c"))
	add("two of them", true, issue(deeper, "c"), deeper, middle)
	add("two of them, the upper first", true, issue(deeper, "c"), middle, deeper)
	add("two of them, the upper missing", false, issue(deeper, "c"), deeper)
	add("below one that allows none", false, issue(tooLong, "c"), tooLong, short)
	add("of one that allows none", true, issue(short, "c"), short)
	below("middle is old", false, isCA, old)
	below("middle is not yet", false, isCA, early)
	below("middle is no authority", false)
	below("middle for servers", true, isCA, uses(server))
	below("middle for clients", true, isCA, uses(client))
	below("middle for code", true, isCA, uses(x509.ExtKeyUsageCodeSigning))
	below("middle signs certificates", true, isCA, usage(x509.KeyUsageCertSign))
	below("middle signs no certificates", false, isCA, usage(x509.KeyUsageDigitalSignature))
	below("middle with an unknown critical extension", false, isCA, extension(true))
	below("middle without basic constraints", false, func(c *x509.Certificate) { c.BasicConstraintsValid = false })
	named := issue(root, "names below b.example", isCA, func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"b.example"}, true
	})
	dns := func(name string) change { return func(c *x509.Certificate) { c.DNSNames = []string{name} } }
	add("name that middle permits", true, issue(named, "c", dns("a.b.example")), named)
	add("name that middle does not permit", false, issue(named, "c", dns("a.c.example")), named)
	add("no name below one that permits some", true, issue(named, "c"), named)
	unlikeJava()

	// What the trust file has.
	oldRoot := trusts(issue(nil, "old root", isCA, old))
	rootForServers := trusts(issue(nil, "root for servers", isCA, uses(server)))
	mute := trusts(issue(nil, "root that signs no certificates", isCA, usage(x509.KeyUsageDigitalSignature)))
	half := trusts(issue(issue(nil, "unknown", isCA), "middle that is trusted", isCA))
	known := trusts(issue(issue(nil, "unknown", isCA), "known"))
	oldAlone := trusts(issue(nil, "old alone", old))
	stranger := issue(nil, "root", isCA)
	add("of a stranger by the same name", false, issue(stranger, "c"))
	add("of a stranger who is shown", false, issue(stranger, "c"), stranger)
	add("itself trusted", true, alone)
	add("itself trusted, of an authority that is not", true, known)
	add("itself trusted, and old", false, oldAlone)
	unlikeJava()
	add("of one that is trusted and no authority", false, issue(alone, "c"))
	add("signed by itself", false, issue(nil, "nobody"))
	add("root is old", true, issue(oldRoot, "c"))
	add("root for servers", true, issue(rootForServers, "c"))
	add("root signs no certificates", false, issue(mute, "c"))
	add("middle trusted, its root unknown", true, issue(half, "c"))
	add("the root itself", true, root)
	for _, id := range trusted {
		trust = append(trust, id.PEM...)
	}
	return chains, trust
}
