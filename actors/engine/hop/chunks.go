package hop

import (
	"errors"
	"io"
)

var errChunk = errors.New("the answer's chunks are not well-formed")

// The parts of a chunked body.
const (
	inSize = iota // digits, of which there must be one
	inExtension
	inSizeEnd // the line feed
	inData
	inDataEnd     // the carriage return
	inDataLineEnd // the line feed
	inTrailer     // at the beginning of a line
	inTrailerLine
	inTrailerEnd // the last line feed
)

const (
	mostDigits  = 15      // of a chunk's size
	mostOutside = 8 << 10 // bytes of extensions or trailers between two chunks
)

// chunks undo the transfer coding wherever reads cut it, without memory of their own.
type chunks struct {
	part    int
	digits  int
	left    int64 // of the chunk's data
	outside int
	over    bool // nothing follows
}

// decode moves the data in from to into, which may begin where from does, and tells how
// much it wrote and how much it read. Where into is full or the body over, it stops.
func (c *chunks) decode(into, from []byte) (wrote, read int, err error) {
	for read < len(from) && !c.over {
		if c.part == inData {
			if wrote == len(into) {
				return wrote, read, nil
			}
			n := copy(into[wrote:], from[read:min(int64(len(from)), int64(read)+c.left)])
			wrote, read = wrote+n, read+n
			if c.left -= int64(n); c.left == 0 {
				c.part = inDataEnd
			}
			continue
		}
		if err := c.step(from[read]); err != nil {
			return wrote, read, err
		}
		read++
	}
	return wrote, read, nil
}

// step reads one byte that is no data.
func (c *chunks) step(b byte) error {
	switch c.part {
	case inSize:
		return c.size(b)
	case inExtension:
		if b == '\n' {
			return errChunk // a bare line feed means the end of a line to some
		}
		if b == '\r' {
			c.part = inSizeEnd
		}
		return c.beside()
	case inSizeEnd:
		if b != '\n' {
			return errChunk
		}
		if c.digits, c.part = 0, inData; c.left == 0 {
			c.part = inTrailer
		}
	case inDataEnd:
		if b != '\r' {
			return errChunk
		}
		c.part = inDataLineEnd
	case inDataLineEnd:
		if b != '\n' {
			return errChunk
		}
		c.part, c.outside = inSize, 0
	default:
		return c.trailer(b)
	}
	return nil
}

func (c *chunks) size(b byte) error {
	var digit int64
	switch {
	case b >= '0' && b <= '9':
		digit = int64(b - '0')
	case b|0x20 >= 'a' && b|0x20 <= 'f':
		digit = int64(b|0x20-'a') + 10
	case c.digits == 0:
		return errChunk
	case b == '\r':
		c.part = inSizeEnd
		return nil
	case b == ';', b == ' ', b == '\t':
		c.part = inExtension
		return nil
	default:
		return errChunk
	}
	if c.digits++; c.digits > mostDigits {
		return errChunk
	}
	c.left = 16*c.left + digit
	return nil
}

// trailer reads past the trailer, of which nobody has a use.
func (c *chunks) trailer(b byte) error {
	switch {
	case c.part == inTrailerEnd && b == '\n':
		c.over = true
		return nil
	case c.part == inTrailerEnd:
		return errChunk
	case c.part == inTrailer && b == '\r':
		c.part = inTrailerEnd
	case b == '\n':
		if c.part == inTrailer {
			return errChunk
		}
		c.part = inTrailer
	default:
		c.part = inTrailerLine
	}
	return c.beside()
}

func (c *chunks) beside() error {
	if c.outside++; c.outside > mostOutside {
		return errChunk
	}
	return nil
}

// early is what an end of the connection means to a body that goes on.
func early(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
