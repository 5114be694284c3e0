package chaos

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

const (
	piece  = `data: {"choices":[{"delta":{"content":" t0"},"finish_reason":null}]}` + "\n\n"
	second = `data: {"choices":[{"delta":{"content":" t1"}}]}` + "\n\n"
	final  = `data: {"choices":[{"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	usage  = `data: {"choices":[],"usage":{"total_tokens":3}}` + "\n\n"
	done   = "data: [DONE]\n\n"
	failed = "event: error\ndata: {\"error\":{\"code\":\"stream_broken\",\"message\":\"It broke.\"}}\n\n"
)

func TestReadStream(t *testing.T) {
	reset := iotest.ErrReader(errors.New("connection reset"))
	for _, c := range []struct {
		name   string
		body   io.Reader
		result string
		text   string
		code   string
	}{
		{"whole", strings.NewReader(piece + second + final + done), Complete, " t0 t1", ""},
		{"with usage and comments", strings.NewReader(": ping\n\n" + piece + final + usage + done), Complete, " t0", ""},
		{"with CRLF", strings.NewReader(strings.ReplaceAll(piece+final+done, "\n", "\r\n")), Complete, " t0", ""},
		{"error event", strings.NewReader(piece + failed), ErrorEvent, " t0", "stream_broken"},
		{"error event, then a reset", io.MultiReader(strings.NewReader(piece+failed), reset), ErrorEvent, " t0", "stream_broken"},
		{"whole, then a reset", io.MultiReader(strings.NewReader(piece+final+done), reset), Complete, " t0", ""},
		{"cut off between events", strings.NewReader(piece), Truncated, " t0", ""},
		{"cut off inside an event", strings.NewReader(piece + second[:20]), Truncated, " t0", ""},
		{"cut off after the reason", strings.NewReader(piece + final), Truncated, " t0", ""},
		{"no reason", strings.NewReader(piece + done), Truncated, " t0", ""},
		{"nothing", strings.NewReader(""), Truncated, "", ""},
		{"reset between events", io.MultiReader(strings.NewReader(piece), reset), Broken, " t0", ""},
		{"reset inside an event", io.MultiReader(strings.NewReader(piece+second[:20]), reset), Broken, " t0", ""},
		{"two answers", strings.NewReader(piece + final + done + piece + final + done), Garbled, " t0", ""},
		{"two reasons", strings.NewReader(piece + final + final + done), Garbled, " t0", ""},
		{"text after the reason", strings.NewReader(piece + final + second + done), Garbled, " t0", ""},
		{"[DONE] after an error", strings.NewReader(piece + failed + done), Garbled, " t0", ""},
		{"not JSON", strings.NewReader("data: {\n\n"), Garbled, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := readStream(c.body)
			if e.result != c.result || e.text != c.text || e.code != c.code {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestStreamsTellTheirAttempts(t *testing.T) {
	e := readStream(strings.NewReader(": ping\n\n: lotabots node=n2 attempts=3\n\n" + piece + final + done))
	if e.served != "n2" || e.attempts != 3 || e.result != Complete {
		t.Errorf("got %+v", e)
	}
}

func TestReadWhole(t *testing.T) {
	const whole = `{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}`
	for _, c := range []struct{ body, result string }{
		{whole, Complete},
		{whole[:30], Truncated},
		{"", Truncated},
		{`{"choices":[]}`, Truncated},
		{`{"choices":[{"message":{"content":"hi"}}]}`, Truncated},
		{"<html>", Garbled},
		{whole + whole, Garbled},
	} {
		if e := readWhole(strings.NewReader(c.body)); e.result != c.result {
			t.Errorf("%q: %+v, want %s", c.body, e, c.result)
		}
	}
	if e := readWhole(iotest.ErrReader(io.ErrUnexpectedEOF)); e.result != Broken {
		t.Errorf("a broken connection: %+v", e)
	}
}

func TestCompare(t *testing.T) {
	for _, c := range []struct{ result, got, want, become string }{
		{Complete, " t0 t1", " t0 t1", Complete},
		{Complete, " t0", " t0 t1", Garbled},
		{Complete, " t0 t0 t1", " t0 t1", Garbled},
		{ErrorEvent, " t0", " t0 t1", ErrorEvent},
		{Broken, "", " t0 t1", Broken},
		{ErrorEvent, " t0 t0", " t0 t1", Garbled},
	} {
		o := Op{Result: c.result}
		if o.compare(c.got, c.want); o.Result != c.become {
			t.Errorf("%s with %q became %s, want %s", c.result, c.got, o.Result, c.become)
		}
	}
}

// FuzzReadStream: whatever comes, the reader ends, and calls nothing complete
// that lacks a finish reason or the end.
func FuzzReadStream(f *testing.F) {
	for _, s := range []string{piece + final + done, piece + failed, piece, ": lotabots node=a attempts=1\n" + done, "data:\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := readStream(strings.NewReader(s))
		if e.result == "" {
			t.Error("no result")
		}
		if e.result == Complete && (!strings.Contains(s, "[DONE]") || !strings.Contains(strings.ToLower(s), "finish_reason")) {
			t.Errorf("%q counts as complete", s)
		}
		_ = readWhole(strings.NewReader(s))
	})
}
