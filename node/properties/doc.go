// Package properties reads and writes the text format of java.util.Properties as the RocketMQ NameServer uses it:
// for its configuration file, for the TLS file and for the bodies of codes 318 and 319.
//
// It follows java.util.Properties.load(InputStream) and MixAll.properties2String of Apache RocketMQ 5.5.0.
package properties
