package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"

	"lukechampine.com/adiantum"
)

// verifyKey checks the key without SQLite. With a wrong one SQLite would take a
// write-ahead log that a crash left for rubbish, and delete it together with the
// commits that are only there. A crash may have torn the first page of the file
// or the log's, so one of them is enough.
func verifyKey(path string, key []byte) error {
	cipher := adiantum.New(key)
	first := func(path string) ([]byte, error) {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // only read
		block := make([]byte, pageSize)
		if _, err := io.ReadFull(f, block); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		return cipher.Decrypt(block, make([]byte, 8)), nil // the tweak is the offset
	}
	page, err := first(path)
	if err != nil || bytes.HasPrefix(page, []byte("SQLite format 3\x00")) {
		return err
	}
	wal, err := first(path + "-wal")
	if err != nil {
		return err
	}
	const walMagic, walVersion = 0x377F0682, 3007000
	if len(wal) > 8 && binary.BigEndian.Uint32(wal)&^1 == walMagic && binary.BigEndian.Uint32(wal[4:]) == walVersion {
		return nil
	}
	return ErrKey
}
