package gateway

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"time"

	"github.com/lotabots/lotabots/cluster/spec"
	"github.com/lotabots/lotabots/cluster/wire"
	"github.com/lotabots/lotabots/gateway/access"
)

type modelView struct {
	Name       string `json:"name"`
	Format     string `json:"format"`
	Digest     string `json:"digest"` // SHA-256, hex
	Size       uint64 `json:"size"`
	ImportedMS int64  `json:"imported_ms"`
	ImportedOn string `json:"imported_on"`

	Shape *shapeView `json:"shape,omitempty"`
}

func viewModel(m *wire.Model) modelView {
	return modelView{Name: m.GetName(), Format: m.GetFormat(), Digest: hex.EncodeToString(m.GetDigest()), Size: m.GetSize(),
		ImportedMS: m.GetImportedMs(), ImportedOn: m.GetImportedOn(), Shape: viewShape(m.GetShape())}
}

func listModels(r *request) error {
	return lists(r, access.ModelsRead, listing[*wire.Model, modelView]{
		id: (*wire.Model).GetName, show: viewModel, walk: r.g.cfg.State.ModelsPage,
		sees: func(m *wire.Model) bool {
			return r.who.May(access.ModelsRead, access.Resource{Kind: access.KindModel, Name: m.GetName()})
		},
	})
}

func removeModel(r *request) error {
	name := r.param("name")
	_, err := r.propose(&wire.Command{Body: &wire.Command_RemoveModel{RemoveModel: &wire.RemoveModel{Name: name}}})
	return r.removed(name, err)
}

// importModel streams the body to the model store: it is never held in memory.
func importModel(r *request) error {
	if r.g.cfg.Models == nil {
		hangUp(r.ctx)
		return r.elsewhere("take in models")
	}
	name := r.param("name")
	if !nameForm.MatchString(name) {
		hangUp(r.ctx)
		f := &form{}
		f.add("name", nameRule)
		return f.err()
	}
	if encoding := string(r.ctx.Request.Header.Peek("Content-Encoding")); encoding != "" && encoding != "identity" {
		hangUp(r.ctx)
		return &spec.Error{Code: spec.CodeUnsupportedMedia, Param: "Content-Encoding", Message: "A model's file is not taken compressed.", Hint: "Send the file as it is."}
	}
	in := &incoming{limit: r.g.cfg.MaxModel, want: -1}
	if r.ctx.Request.IsBodyStream() {
		in.r, in.want = r.ctx.RequestBodyStream(), int64(r.ctx.Request.Header.ContentLength())
		in.conn, in.stall = r.ctx.Conn(), 3*r.g.cfg.ReadTimeout
	} else {
		in.r = bytes.NewReader(r.ctx.Request.Body())
	}
	if in.want > in.limit {
		return r.tooLarge64(in.limit)
	}
	take := r.g.cfg.Models.Import
	switch form := string(r.ctx.QueryArgs().Peek("form")); form {
	case "", "file":
	case "folder":
		take = r.g.cfg.Models.ImportFolder
	default:
		hangUp(r.ctx)
		return &spec.Error{Code: spec.CodeInvalidRequest, Param: "form", Message: "form must be file, or folder for a tar of a directory."}
	}
	m, err := take(r.asked(), name, in)
	switch {
	case errors.Is(in.fault, errTooLarge):
		return r.tooLarge64(in.limit)
	case in.fault != nil:
		return r.cutShort(in.fault)
	case err != nil:
		hangUp(r.ctx)
		return err
	}
	r.wrote()
	return r.json(200, viewModel(m))
}

func (r *request) tooLarge64(limit int64) error {
	hangUp(r.ctx)
	return spec.Errorf(spec.CodeBodyTooLarge, "The model is larger than the limit of %d bytes.", limit)
}

var errTooLarge = errors.New("body is larger than the limit")

// An incoming is a body on its way in, which must be of the length it claims,
// and may take as long as it likes while bytes come.
type incoming struct {
	conn  net.Conn      // nil: the body is here already
	stall time.Duration // that it may go without a byte
	r     io.Reader
	got   int64
	want  int64 // below 0: unknown
	limit int64
	fault error
}

func (in *incoming) Read(p []byte) (int, error) {
	if in.fault != nil {
		return 0, in.fault
	}
	if in.conn != nil {
		_ = in.conn.SetReadDeadline(time.Now().Add(in.stall))
	}
	n, err := in.r.Read(p)
	in.got += int64(n)
	switch {
	case in.got > in.limit:
		in.fault = errTooLarge
	case err == io.EOF && in.want >= 0 && in.got < in.want:
		in.fault = io.ErrUnexpectedEOF
	case err != nil && err != io.EOF:
		in.fault = err
	}
	if in.fault != nil {
		return 0, in.fault
	}
	return n, err
}
