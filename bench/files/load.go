package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"github.com/parley-chat/parley/bench/report"
)

// loads is the folder of what is sent, in memory if the machine has such a
// folder, which lies there for all rounds.
var loads struct {
	once sync.Once
	dir  string
	err  error
}

const memory = "/dev/shm"

func loadFolder() (string, error) {
	loads.once.Do(func() {
		in := ""
		if _, err := os.Stat(memory); err == nil {
			in = memory
		}
		loads.dir, loads.err = os.MkdirTemp(in, "parley-bench-")
	})
	return loads.dir, loads.err
}

func removeLoads() {
	if loads.dir != "" {
		_ = os.RemoveAll(loads.dir)
	}
}

// Kinds of what is sent.
const (
	largeFile     = "large"
	smallFile     = "small"
	smallFiles    = "folder"
	veryLargeFile = "verylarge"
)

// load gives the path of what is to be sent.
func load(kind string) (string, error) {
	dir, err := loadFolder()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, kind)
	if _, err := os.Lstat(path); err == nil {
		return path, nil
	}
	random := rand.NewChaCha8([32]byte{1})
	switch kind {
	case largeFile:
		err = makeFile(path, io.LimitReader(random, int64(large)<<20))
	case smallFile:
		err = makeFile(path, io.LimitReader(random, small))
	case smallFiles:
		err = makeFolder(path, random)
	case veryLargeFile:
		err = makeSparse(path, int64(verylarge)<<20)
	}
	if err != nil {
		return "", fmt.Errorf("make what is to be sent: %w", err)
	}
	return path, nil
}

func makeFile(path string, content io.Reader) error {
	f, err := os.Create(path) //nolint:gosec // below our own folder
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(f, content, make([]byte, 1<<20))
	return errors.Join(err, f.Close())
}

func makeFolder(path string, random io.Reader) error {
	content := make([]byte, entrySize)
	for i := range entries {
		dir := filepath.Join(path, fmt.Sprintf("folder %02d", i%100))
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // as people's folders are
			return err
		}
		if _, err := io.ReadFull(random, content); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file %05d.txt", i)), content, 0o644); err != nil { //nolint:gosec // see above
			return err
		}
	}
	return nil
}

// makeSparse makes a file in which each MiB begins with its number.
func makeSparse(path string, size int64) error {
	f, err := os.Create(path) //nolint:gosec // below our own folder
	if err != nil {
		return err
	}
	var number [8]byte
	for at := int64(0); at < size; at += 1 << 20 {
		binary.BigEndian.PutUint64(number[:], uint64(at)) //nolint:gosec // not negative
		if _, err := f.WriteAt(number[:], at); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// target gives an empty folder for what arrives, on the same file system.
func target() (dir string, remove func(), err error) {
	in, err := loadFolder()
	if err != nil {
		return "", nil, err
	}
	dir, err = os.MkdirTemp(in, "arrived-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// same compares what arrived with what was sent: files, folders and content.
func same(sent, arrived string) error {
	info, err := os.Stat(sent)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return sameFile(sent, arrived)
	}
	want, err := count(sent)
	if err != nil {
		return err
	}
	got, err := count(arrived)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%d files and folders arrived, not %d", got, want)
	}
	return filepath.WalkDir(sent, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(sent, path)
		if err != nil {
			return err
		}
		return sameFile(path, filepath.Join(arrived, rel))
	})
}

func count(dir string) (n int, err error) {
	err = filepath.WalkDir(dir, func(_ string, _ fs.DirEntry, err error) error {
		n++
		return err
	})
	return n, err
}

// compared holds what sameFile reads.
var compared [2][256 << 10]byte

func sameFile(a, b string) error {
	fa, err := os.Open(a) //nolint:gosec // our own
	if err != nil {
		return err
	}
	defer func() { _ = fa.Close() }()
	fb, err := os.Open(b) //nolint:gosec // our own
	if err != nil {
		return err
	}
	defer func() { _ = fb.Close() }()
	for {
		n, errA := io.ReadFull(fa, compared[0][:])
		m, errB := io.ReadFull(fb, compared[1][:])
		if !bytes.Equal(compared[0][:n], compared[1][:m]) {
			return fmt.Errorf("%s did not arrive as it was sent", filepath.Base(a))
		}
		if errA != nil || errB != nil {
			if errors.Is(errA, errB) {
				return nil // io.EOF or io.ErrUnexpectedEOF, both
			}
			return fmt.Errorf("%s: %w, %w", filepath.Base(a), errA, errB)
		}
	}
}

// gib is the size of the large file.
func gib() float64 { return float64(large) / 1024 }

// recordSpeed notes how long a file took, or the folder.
func recordSpeed(r *report.Round, kind string, seconds float64) {
	switch kind {
	case largeFile:
		r.Record(metricLarge, float64(large)*(1<<20)/seconds)
	case smallFile:
		r.Record(metricSmall, small/seconds)
	case smallFiles:
		r.Record(metricFolder, float64(entries)/seconds)
	}
}

type runner = func(context.Context, *report.Round) error
