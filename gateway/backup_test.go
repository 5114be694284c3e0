package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/gateway"
)

// fakeBackups writes so many bytes, which tell the recipients, and then fails or not.
type fakeBackups struct {
	size   int
	fail   error
	closed atomic.Int32
}

func (f *fakeBackups) Begin(_ context.Context, to []string) (gateway.Backup, error) {
	if to[0] == "bad" {
		return nil, &spec.Error{Code: spec.CodeInvalidRequest, Param: "recipient", Message: "Bad."}
	}
	return &fakeBackup{f, strings.Join(to, " ")}, nil
}

type fakeBackup struct {
	*fakeBackups
	to string
}

func (b *fakeBackup) Name() string  { return "name.lbk" }
func (b *fakeBackup) Index() uint64 { return 77 }
func (b *fakeBackup) Close() error  { b.closed.Add(1); return nil }

func (b *fakeBackup) Write(w io.Writer) error {
	if _, err := io.WriteString(w, b.to); err != nil {
		return err
	}
	for n := 0; n < b.size; n += 1 << 16 {
		if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<16)); err != nil {
			return err
		}
	}
	return b.fail
}

func TestBackupIsStreamed(t *testing.T) {
	f := &fakeBackups{size: 8 << 20}
	r := newRig(t, func(c *gateway.Config) { c.Backups = f })
	res, body := r.do(r.admin, "GET", "/admin/v1/backup?recipient=age1a&recipient=age1b", "")
	if res.StatusCode != 200 || !strings.HasPrefix(body, "age1a age1bxxx") || len(body) != 11+8<<20 {
		t.Fatalf("%d, %d bytes", res.StatusCode, len(body))
	}
	if res.Header.Get("X-LotaBots-State-Index") != "77" || !strings.Contains(res.Header.Get("Content-Disposition"), "name.lbk") {
		t.Errorf("headers %v", res.Header)
	}
	for key, want := range map[string]int{r.infer: 403, "": 401} {
		if res, _ := r.do(key, "GET", "/admin/v1/backup?recipient=age1a", ""); res.StatusCode != want {
			t.Errorf("with %q: %d, want %d", key, res.StatusCode, want)
		}
	}
	if res, body := r.do(r.admin, "GET", "/admin/v1/backup?recipient=bad", ""); res.StatusCode != 400 || !strings.Contains(body, "recipient") {
		t.Errorf("a bad recipient: %d %s", res.StatusCode, body)
	}
	if n := f.closed.Load(); n != 1 {
		t.Errorf("%d backups were closed, want 1", n)
	}
}

func TestABackupThatFailsDoesNotLookWhole(t *testing.T) {
	f := &fakeBackups{size: 1 << 20, fail: errors.New("the disk is gone")}
	r := newRig(t, func(c *gateway.Config) { c.Backups = f })
	res, err := r.send(context.Background(), r.admin, "GET", "/admin/v1/backup?recipient=age1a", "")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err == nil {
		t.Error("the answer came to a good end")
	}
}

func TestAClientThatLeavesEndsItsBackup(t *testing.T) {
	f := &fakeBackups{size: 1 << 30}
	r := newRig(t, func(c *gateway.Config) { c.Backups = f })
	ctx, cancel := context.WithCancel(context.Background())
	res, err := r.send(ctx, r.admin, "GET", "/admin/v1/backup?recipient=age1a", "")
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	_, _ = io.CopyN(io.Discard, res.Body, 1<<16)
	cancel()
	res.Body.Close()
	for end := time.Now().Add(30 * time.Second); f.closed.Load() == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the backup is still being written")
		}
	}
}
