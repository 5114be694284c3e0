package engine

import (
	"context"
	"io"
)

type readerWhile struct {
	ctx  context.Context
	from io.Reader
}

// readWhile reads until ctx ends: models take long to read.
func readWhile(ctx context.Context, from io.Reader) io.Reader { return readerWhile{ctx, from} }

func (r readerWhile) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}
