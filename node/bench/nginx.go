package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// nginxConf is a pass-through like ours: one process, connections that are kept, answers
// as they come.
const nginxConf = `daemon off; master_process off; pid %[1]s/pid; error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  keepalive_requests 1000000000;
  upstream engine { server %[2]s; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen %[3]s backlog=1024;
    location / { proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
  }
}
`

// startNginx starts nginx before the fast engine where it is installed; else there is no
// such way, and a line says so.
func (p *parts) startNginx() error {
	binary, err := exec.LookPath("nginx")
	if err != nil {
		fmt.Println("nginx is not installed: it is not measured")
		return nil //nolint:nilerr // it is one way of several
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		return err
	}
	address := l.Addr().String()
	l.Close()
	dir := filepath.Join(p.dir, "nginx")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxConf, dir, p.fast, address), 0o600); err != nil {
		return err
	}
	cmd := exec.Command(binary, "-p", dir, "-c", file)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.children = append(p.children, cmd)
	for end := time.Now().Add(startLimit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			p.nginx, p.nginxPID = address, cmd.Process.Pid
			return nil
		}
	}
	return fmt.Errorf("nginx does not listen on %s", address)
}
