// Package survey looks at NameServers and brokers from outside, by RocketMQ's own protocol, whoever made them: what each
// NameServer serves, and where they differ.
//
// The law: it only reads. Peer.Ask sends the codes of mayAsk and refuses every other one. Of a broker's configuration, in
// which there are passwords, nothing but namesrvAddr leaves this package.
//
// What was seen is data (View, Difference); the comparison and everything that is concluded from it are functions of that data.
package survey
