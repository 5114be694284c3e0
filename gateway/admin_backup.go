package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
)

// Backups are made of the whole state.
type Backups interface {
	// Begin takes the state as it is now, to be sealed to the recipients (age
	// public keys). Its error is a *spec.Error.
	Begin(ctx context.Context, recipients []string) (Backup, error)
}

// A Backup is one under way. Close it.
type Backup interface {
	Name() string // of the file
	Index() uint64
	Write(w io.Writer) error // as it goes: nothing is held whole
	Close() error
}

// maxRecipients bounds a backup's.
const maxRecipients = 20

// backupStall is how long a client may take no bytes of a backup, which holds
// back what the database would clear away.
const backupStall = 30 * time.Second

// createBackup streams a sealed backup. One that fails on its way ends the
// connection, so that the client does not take it for whole.
func createBackup(r *request) error {
	if r.g.cfg.Backups == nil {
		return r.elsewhere("make backups")
	}
	var to []string
	for _, v := range r.ctx.QueryArgs().PeekMulti("recipient") {
		to = append(to, string(v))
	}
	if len(to) == 0 || len(to) > maxRecipients {
		return &spec.Error{Code: spec.CodeInvalidRequest, Param: "recipient", Message: "recipient must be given 1 to 20 times: a backup is always encrypted.",
			Hint: "Give an age public key, such as age-keygen prints."}
	}
	ctx, cancel := r.operate()
	defer cancel()
	b, err := r.g.cfg.Backups.Begin(ctx, to)
	if err != nil {
		return err
	}
	r.did("backups.create", "cluster")
	h := &r.ctx.Response.Header
	h.SetContentType("application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+b.Name()+`"`)
	h.Set(HeaderStateIndex, itoa(int64(b.Index())))
	r.ctx.Response.SetBodyStream(r.g.send(b, r.ctx.Conn()), -1)
	return nil
}

// A content is what is sent as it is made.
type content interface {
	Write(w io.Writer) error
	Close() error
}

// An outgoing is a content on its way to a client.
type outgoing struct {
	*io.PipeReader
	g     *Gateway
	conn  net.Conn
	armed time.Time
	done  chan struct{}
}

func (g *Gateway) send(b content, conn net.Conn) *outgoing {
	out, in := io.Pipe()
	o := &outgoing{PipeReader: out, g: g, conn: conn, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		err := errors.Join(b.Write(in), b.Close())
		if err != nil && !errors.Is(err, io.ErrClosedPipe) {
			g.cfg.Log.Error("an answer was cut off", "error", err)
		}
		_ = in.CloseWithError(err)
	}()
	return o
}

// Read gives the next bytes to whoever writes them to the client.
func (o *outgoing) Read(p []byte) (int, error) {
	if err := o.g.work.Err(); err != nil {
		return 0, err
	}
	if now := time.Now(); now.Sub(o.armed) > time.Second {
		o.armed = now
		_ = o.conn.SetWriteDeadline(now.Add(backupStall))
	}
	return o.PipeReader.Read(p)
}

// Close ends the content and waits for its writer. The server calls it, however
// the answer ends.
func (o *outgoing) Close() error {
	err := o.PipeReader.Close()
	<-o.done
	return err
}
