package backup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"testing"

	"github.com/parley-chat/parley/server/directory"
)

// FuzzRead: a file that is no whole backup is told apart from one that is, and
// no file lands outside the data folder.
func FuzzRead(f *testing.F) {
	whole := func(frames ...frame) []byte {
		var b bytes.Buffer
		w := &writer{w: &b, sum: sha256.New()}
		err := w.bytes([]byte(format))
		for _, fr := range frames {
			err = errors.Join(err, w.frame(fr))
		}
		if err = errors.Join(err, w.bytes(w.sum.Sum(nil))); err != nil {
			f.Fatal(err)
		}
		return b.Bytes()
	}
	record := frame{Record: &directory.Record{Bucket: "accounts", Key: "x", Value: []byte("{}")}}
	good := whole(frame{Header: &Header{Server: "fuzz"}}, frame{File: &File{Name: "certificate.pem", Data: []byte("x")}}, record, frame{End: &End{Records: 1}})
	if _, end, err := Verify(bytes.NewReader(good)); err != nil || end.Records != 1 {
		f.Fatal(end, err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(whole(frame{Header: &Header{}}, frame{File: &File{Name: "../../etc/passwd"}}, frame{End: &End{}}))
	f.Add(append([]byte(format), 0xff, 0xff, 0xff, 0xff))
	f.Add([]byte(magic + "2\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		records := 0
		_, end, err := Read(bytes.NewReader(b), func(file *File, r *directory.Record) error {
			if file != nil && (filepath.Base(file.Name) != file.Name || len(file.Data) > maxFile) {
				t.Fatalf("file %q of %d bytes", file.Name, len(file.Data))
			}
			if r != nil {
				records++
			}
			return nil
		})
		switch {
		case err == nil && end.Records != records:
			t.Fatalf("%d records, and the end says %d", records, end.Records)
		case err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrVersion):
			t.Fatalf("error of no kind: %v", err)
		}
	})
}
