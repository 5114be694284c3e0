package transport

import (
	"errors"
	"fmt"
	"net"
	"strconv"
)

const pairAttempts = 20

// bind takes one number for TCP and UDP, and settles what others are told.
func (p *Port) bind() error {
	host, number, err := net.SplitHostPort(p.cfg.Listen)
	if err != nil {
		return fmt.Errorf("the address to listen on: %w", err)
	}
	attempts := 1
	if number == "0" || number == "" { // TCP's free number may be taken for UDP
		attempts = pairAttempts
	}
	for range attempts {
		if err = p.pair(); err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("listening on the cluster port: %w", err)
	}
	if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
		p.from = ip
	}
	if p.addr, err = p.advertised(); err != nil {
		return errors.Join(err, p.tcp.Close(), p.udp.Close())
	}
	return nil
}

func (p *Port) pair() error {
	tcp, err := net.Listen("tcp", p.cfg.Listen)
	if err != nil {
		return err
	}
	at := tcp.Addr().(*net.TCPAddr)
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: at.IP, Port: at.Port, Zone: at.Zone})
	if err != nil {
		return errors.Join(err, tcp.Close())
	}
	_ = udp.SetReadBuffer(2 << 20) // bursts of digests; the kernel may give less
	p.tcp, p.udp = tcp, udp
	return nil
}

func (p *Port) advertised() (string, error) {
	at := p.tcp.Addr().(*net.TCPAddr)
	if p.cfg.Advertise == "" {
		if at.IP.IsUnspecified() {
			return "", fmt.Errorf("%s is no address that others could dial: set the address to advertise", p.cfg.Listen)
		}
		return at.String(), nil
	}
	host, number, err := net.SplitHostPort(p.cfg.Advertise)
	if err != nil {
		return "", fmt.Errorf("the address to advertise: %w", err)
	}
	if number == "0" {
		number = strconv.Itoa(at.Port)
	}
	return net.JoinHostPort(host, number), nil
}
