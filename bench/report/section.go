package report

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A benchmark's section in the file stands between two markers, which Markdown
// does not show; what is around them is people's.
func opening(name string) string { return "<!-- begin " + name + " -->\n" }
func closing(name string) string { return "<!-- end " + name + " -->\n" }

var errMarkers = errors.New("its markers are not in order")

// place puts a section where the one of that name is, or at the end.
func place(text, name, section string) (string, error) {
	section = opening(name) + section + closing(name)
	begin, end := strings.Index(text, opening(name)), strings.Index(text, closing(name))
	switch {
	case begin < 0 && end < 0:
		if text != "" {
			text = strings.TrimRight(text, "\n") + "\n\n"
		}
		return text + section, nil
	case begin < 0 || end < begin:
		return "", errMarkers
	}
	return text[:begin] + section + text[end+len(closing(name)):], nil
}

// writeSection replaces the file at once, so that whoever stops the program
// leaves the old one.
func writeSection(path, name, section string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := place(string(old), name, section)
	if err != nil {
		return fmt.Errorf("section %s of %s: %w", name, path, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".bench-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.WriteString(text)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
