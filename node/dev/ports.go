package dev

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are taken below the range from which the kernel takes the local ports
// of outgoing connections, so that a restarted node finds its own still free.
const firstPort, lastPort = 20000, 32000

// FreeAddr returns an address of host, HOST:PORT, that is free for TCP and UDP at
// this moment.
func FreeAddr(host string) (string, error) {
	port, err := freePort(host, map[int]bool{})
	return net.JoinHostPort(host, fmt.Sprint(port)), err
}

// freePort returns a port that is free on host for TCP and UDP at this moment.
func freePort(host string, taken map[int]bool) (int, error) {
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if taken[port] {
			continue
		}
		addr := net.JoinHostPort(host, fmt.Sprint(port))
		tcp, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp", addr)
		tcp.Close()
		if err != nil {
			continue
		}
		udp.Close()
		taken[port] = true
		return port, nil
	}
	return 0, fmt.Errorf("found no free port on %s between %d and %d", host, firstPort, lastPort)
}
