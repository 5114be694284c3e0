package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/node/client"
)

// loginPatience is how long a log-in in the browser is waited for.
const loginPatience = 5 * time.Minute

func loginCommand() *cobra.Command {
	c := &cobra.Command{Use: "login", Short: "Open a session, by password or single sign-on; later commands use it", Args: cobra.NoArgs}
	flags := where(c)
	var (
		name    string
		sso     bool
		piped   bool
		browser bool
	)
	f := c.Flags()
	f.StringVar(&name, "name", "", "user to log in as; asked for where it is missing")
	f.BoolVar(&piped, "password-stdin", false, "read the password from standard input")
	f.BoolVar(&sso, "sso", false, "log in at the cluster's OIDC provider, in a browser on this machine")
	f.BoolVar(&browser, "browser", true, "with --sso: open the browser; else the address is only printed")
	c.MarkFlagsMutuallyExclusive("sso", "name")
	c.MarkFlagsMutuallyExclusive("sso", "password-stdin")
	c.RunE = func(c *cobra.Command, _ []string) error {
		api, err := client.FindWithout(*flags)
		if err != nil {
			return err
		}
		var granted *spec.Granted
		if sso {
			granted, err = loginSSO(c, api, browser)
		} else {
			granted, err = loginPassword(c, api, name, piped)
		}
		if err != nil {
			return err
		}
		path, err := client.SaveSession(api.Endpoints(), granted)
		if err != nil {
			return err
		}
		me := struct{ Name string }{granted.User}
		if api, err := client.Find(client.Flags{}); err == nil {
			_ = api.Do(c.Context(), "GET", "/auth/v1/whoami", nil, &me) // the id says it too
		}
		fmt.Fprintf(c.OutOrStdout(), "logged in as %s until %s; the session is in %s\n", me.Name, moment(granted.SessionExpiresMS), path)
		return nil
	}
	return c
}

func loginPassword(c *cobra.Command, api *client.Client, name string, piped bool) (*spec.Granted, error) {
	in := bufio.NewReader(c.InOrStdin())
	if name == "" {
		if piped {
			return nil, misused(c, "--password-stdin needs --name")
		}
		fmt.Fprint(c.ErrOrStderr(), "name: ")
		line, err := in.ReadString('\n')
		if name = strings.TrimSpace(line); err != nil || name == "" {
			return nil, misused(c, "no name was given")
		}
	}
	password, err := readPassword(c, in, piped, "password: ")
	if err != nil {
		return nil, err
	}
	granted := &spec.Granted{}
	return granted, api.Do(c.Context(), "POST", "/auth/v1/login", map[string]string{"name": name, "password": password}, granted)
}

// readPassword reads a password from the terminal, unseen, or the first line of
// what is piped in.
func readPassword(c *cobra.Command, in *bufio.Reader, piped bool, prompt string) (string, error) {
	if file, ok := c.InOrStdin().(*os.File); ok && !piped && term.IsTerminal(int(file.Fd())) {
		fmt.Fprint(c.ErrOrStderr(), prompt)
		raw, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(c.ErrOrStderr())
		return string(raw), err
	}
	if !piped {
		return "", misused(c, "there is no terminal to ask on: give --password-stdin")
	}
	line, err := in.ReadString('\n')
	if err != nil && (!errors.Is(err, io.EOF) || line == "") {
		return "", fmt.Errorf("reading the password from standard input: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// loginSSO has the user log in at the provider in a browser. The cluster sends
// the browser back to a port of this machine with a code that is good once and
// only with the verifier, which never leaves this process until then.
func loginSSO(c *cobra.Command, api *client.Client, browser bool) (*spec.Granted, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	verifier := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	path := "/" + rand.Text() // no page in the browser can guess it
	ask := url.Values{"loopback": {"http://" + listener.Addr().String() + path}, "challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}}
	address := api.Endpoint() + "/auth/v1/oidc/login?" + ask.Encode()
	fmt.Fprintf(c.ErrOrStderr(), "log in at\n  %s\n", address)
	if browser {
		openBrowser(c.Context(), address)
	}
	code, err := awaitCode(c.Context(), listener, path)
	if err != nil {
		return nil, err
	}
	granted := &spec.Granted{}
	return granted, api.Do(c.Context(), "POST", "/auth/v1/exchange", map[string]string{"code": code, "verifier": verifier}, granted)
}

// awaitCode serves the one page that ends the log-in, and closes listener.
func awaitCode(ctx context.Context, listener net.Listener, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	type answer struct{ code, failure string }
	answers := make(chan answer, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		got := answer{code: r.URL.Query().Get("code"), failure: r.URL.Query().Get("error")}
		if got.code == "" && got.failure == "" {
			http.Error(w, "neither code nor error", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "You may close this page and go back to the terminal.\n")
		select {
		case answers <- got:
		default:
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() { _ = server.Close(); <-served }()
	select {
	case got := <-answers:
		limit, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_ = server.Shutdown(limit) // the page is to be seen
		if got.code == "" {
			return "", &spec.Error{Code: spec.CodeSSOFailed, Message: "The log-in did not succeed: " + got.failure}
		}
		return got.code, nil
	case <-ctx.Done():
		return "", fmt.Errorf("nobody has logged in: %w", ctx.Err())
	}
}

// openBrowser tries; the address is on the terminal too.
func openBrowser(ctx context.Context, address string) {
	program := "xdg-open"
	if runtime.GOOS == "darwin" {
		program = "open"
	}
	if cmd := exec.CommandContext(ctx, program, address); cmd.Start() == nil {
		go func() { _ = cmd.Wait() }()
	}
}

func logoutCommand() *cobra.Command {
	c := &cobra.Command{Use: "logout", Short: "End the session, here or everywhere", Args: cobra.NoArgs}
	flags := where(c)
	everywhere := c.Flags().Bool("everywhere", false, "end all sessions of the user, on all machines")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if client.SavedSession() == nil {
			return errors.New("no session is remembered: nobody is logged in here")
		}
		api, err := client.Find(*flags)
		if err != nil {
			return err
		}
		ended := api.Do(c.Context(), "POST", "/auth/v1/logout", map[string]bool{"everywhere": *everywhere}, nil)
		var told *client.APIError
		if ended != nil && !(errors.As(ended, &told) && told.Status == http.StatusUnauthorized) {
			return fmt.Errorf("the session was not ended, and is still remembered: %w", ended)
		}
		if _, err := client.SaveSession(nil, nil); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), "logged out")
		return nil
	}
	return c
}
