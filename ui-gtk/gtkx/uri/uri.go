// Package uri reads and writes the names of files that programs hand each other on
// the clipboard and by dragging.
package uri

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Of gives the URI of a file, as other programs want it. Errors: that of a path which
// is not absolute.
func Of(path string) (string, error) {
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		return "", fmt.Errorf("%q is no absolute path", path)
	}
	u := url.URL{Scheme: "file", Path: path}
	return u.String(), nil
}

// Parse reads a list of type text/uri-list (RFC 2483): the absolute paths of those
// that name files of this machine, and the others as they came.
func Parse(list string) (paths, others []string) {
	for line := range strings.Lines(list) {
		line = strings.Trim(line, "\r\n\x00")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if path, ok := filePath(line); ok {
			paths = append(paths, path)
		} else {
			others = append(others, line)
		}
	}
	return paths, others
}

func filePath(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || !strings.EqualFold(u.Scheme, "file") || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil {
		return "", false
	}
	if host := u.Host; host != "" && !strings.EqualFold(host, "localhost") {
		if here, err := os.Hostname(); err != nil || !strings.EqualFold(host, here) {
			return "", false
		}
	}
	if !filepath.IsAbs(u.Path) || strings.ContainsRune(u.Path, 0) {
		return "", false
	}
	return filepath.Clean(u.Path), true
}
