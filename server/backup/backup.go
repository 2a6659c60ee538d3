// Package backup writes all that a directory keeps into one file, and makes a
// data folder of such a file again.
//
// A backup is the line "parley-backup 1", then frames, then the SHA-256 of all
// before it. A frame is a 4-byte big-endian length and that many bytes of JSON
// with one member: "header", first; "file", a small file of the data folder;
// "record"; "end", last, with how many records there are.
//
// It has the hashes of passwords and the server's own TLS key in it.
package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/parley-chat/parley/internal/version"
	"github.com/parley-chat/parley/server/directory"
)

const (
	magic   = "parley-backup "
	format  = magic + "1\n"
	maxJSON = 8 << 20
	maxFile = 1 << 20
)

var (
	// ErrDamaged says that a backup is not whole or not as it was written.
	ErrDamaged = errors.New("the backup is damaged or cut short; use another one")
	// ErrFormat says that a file is no backup.
	ErrFormat = errors.New("the file is no backup of parley-server")
	// ErrVersion says that a backup is of a later version.
	ErrVersion = errors.New("the backup was made by a later version of parley-server; use that one or a later")
)

// Header says what a backup is.
type Header struct {
	Made   time.Time `json:"made"`
	Server string    `json:"server"` // its version
}

// File is a small file of the data folder.
type File struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// End is the last frame.
type End struct {
	Records int `json:"records"`
}

type frame struct {
	Header *Header           `json:"header,omitempty"`
	File   *File             `json:"file,omitempty"`
	Record *directory.Record `json:"record,omitempty"`
	End    *End              `json:"end,omitempty"`
}

// fileNames are the files of a data folder that a backup has: the certificate
// that the server made for itself, which all clients have pinned.
var fileNames = []string{"certificate.pem"}

// FilesOf reads those files of a data folder that go into a backup.
func FilesOf(folder string) []File {
	var files []File
	for _, name := range fileNames {
		if b, err := os.ReadFile(filepath.Join(folder, name)); err == nil {
			files = append(files, File{name, b})
		}
	}
	return files
}

// Source is what a backup is made of.
type Source struct {
	Directory *directory.Directory
	Files     []File
}

// Write writes a backup.
func Write(ctx context.Context, w io.Writer, from Source) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	out := &writer{w: buffered, sum: sha256.New()}
	if err := out.bytes([]byte(format)); err != nil {
		return err
	}
	if err := out.frame(frame{Header: &Header{Made: time.Now().UTC(), Server: version.String()}}); err != nil {
		return err
	}
	for i := range from.Files {
		if err := out.frame(frame{File: &from.Files[i]}); err != nil {
			return err
		}
	}
	records := 0
	err := from.Directory.Export(ctx, func(r directory.Record) error {
		records++
		return errors.Join(ctx.Err(), out.frame(frame{Record: &r}))
	})
	if err != nil {
		return fmt.Errorf("make the backup: %w", err)
	}
	if err := out.frame(frame{End: &End{Records: records}}); err != nil {
		return err
	}
	if err := out.bytes(out.sum.Sum(nil)); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

type writer struct {
	w   io.Writer
	sum hash.Hash
}

func (w *writer) bytes(b []byte) error {
	_, _ = w.sum.Write(b)
	if _, err := w.w.Write(b); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

func (w *writer) frame(f frame) error {
	b, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode the backup: %w", err)
	}
	return w.bytes(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
}

// Read gives all frames of a backup to each. It fails with ErrDamaged when the
// end or the checksum is not right, after frames were given: check with Verify
// before using them.
func Read(r io.Reader, each func(*File, *directory.Record) error) (Header, End, error) {
	sum := sha256.New()
	plain := bufio.NewReaderSize(r, 64<<10)
	in := io.TeeReader(plain, sum)
	if err := readFormat(in); err != nil {
		return Header{}, End{}, err
	}
	var header *Header
	records := 0
	for {
		f, err := readFrame(in)
		if err != nil {
			return Header{}, End{}, err
		}
		switch {
		case f.Header != nil && header == nil:
			header = f.Header
		case header == nil || f.Header != nil:
			return Header{}, End{}, ErrDamaged
		case f.End != nil:
			if f.End.Records != records {
				return Header{}, End{}, ErrDamaged
			}
			return *header, *f.End, readSum(plain, sum.Sum(nil))
		case f.File != nil || f.Record != nil:
			if f.Record != nil {
				records++
			}
			if err := each(f.File, f.Record); err != nil {
				return Header{}, End{}, err
			}
		default:
			// A kind of a later minor version: the records are all there is to lose.
		}
	}
}

func readFormat(in io.Reader) error {
	b := make([]byte, len(format))
	if _, err := io.ReadFull(in, b); err != nil || !bytes.HasPrefix(b, []byte(magic)) {
		return ErrFormat
	}
	if string(b) != format {
		return ErrVersion
	}
	return nil
}

func readFrame(in io.Reader) (frame, error) {
	var size [4]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return frame{}, damaged(err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxJSON {
		return frame{}, ErrDamaged
	}
	// Grows as bytes come, so that a wrong length costs nothing.
	var b bytes.Buffer
	if _, err := io.CopyN(&b, in, int64(n)); err != nil {
		return frame{}, damaged(err)
	}
	var f frame
	if err := json.Unmarshal(b.Bytes(), &f); err != nil {
		return frame{}, ErrDamaged
	}
	if f.File != nil && (len(f.File.Data) > maxFile || !slices.Contains(fileNames, f.File.Name)) {
		return frame{}, ErrDamaged
	}
	return f, nil
}

func readSum(in io.Reader, want []byte) error {
	rest, err := io.ReadAll(io.LimitReader(in, int64(len(want))+1))
	if err != nil {
		return damaged(err)
	}
	if !bytes.Equal(rest, want) {
		return ErrDamaged
	}
	return nil
}

// damaged tells an end that comes too early from a disk that fails.
func damaged(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrDamaged
	}
	return fmt.Errorf("read the backup: %w", err)
}

// Verify reads a whole backup and says what it is.
func Verify(r io.Reader) (Header, End, error) {
	return Read(r, func(*File, *directory.Record) error { return nil })
}
