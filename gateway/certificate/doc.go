// Package certificate keeps the certificate that a gateway shows to clients: read from
// two files at the start, and again when they change, so that one that is renewed needs
// no restart. A pair that cannot be used never replaces one that can.
//
// The node makes a Keeper and gives its TLS configuration to the gateway. It imports no
// other package of the project.
package certificate
