package uri

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	here, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, list    string
		paths, others []string
	}{
		{"nothing", "", nil, nil},
		{"one", "file:///home/ada/a.txt\r\n", []string{"/home/ada/a.txt"}, nil},
		{"many, and a comment", "#from somewhere\r\nfile:///a\r\nfile:///b\r\n\r\n", []string{"/a", "/b"}, nil},
		{"line feeds alone, no end", "file:///a\nfile:///b", []string{"/a", "/b"}, nil},
		{"a zero at the end", "file:///a\r\n\x00", []string{"/a"}, nil},
		{"coded", "file:///tmp/%E4%BD%A0%E5%A5%BD%20100%25.png", []string{"/tmp/你好 100%.png"}, nil},
		{"not coded", "file:///tmp/你好.png", []string{"/tmp/你好.png"}, nil},
		{"plus is plus", "file:///tmp/a+b", []string{"/tmp/a+b"}, nil},
		{"this machine", "file://localhost/a\r\nfile://" + here + "/b", []string{"/a", "/b"}, nil},
		{"another machine", "file://elsewhere.example/a", nil, []string{"file://elsewhere.example/a"}},
		{"upper case", "FILE:///a", []string{"/a"}, nil},
		{"not of files", "https://example.org/x\r\nsftp://h/x", nil, []string{"https://example.org/x", "sftp://h/x"}},
		{"dots", "file:///a/../../b", []string{"/b"}, nil},
		{"relative", "file:a/b\r\na/b\r\n/a/b", nil, []string{"file:a/b", "a/b", "/a/b"}},
		{"bad code", "file:///a%zz", nil, []string{"file:///a%zz"}},
		{"a zero in the path", "file:///a%00b", nil, []string{"file:///a%00b"}},
		{"question mark, fragment", "file:///a?b\r\nfile:///a#b\r\nfile:///a%3Fb%23c", []string{"/a?b#c"}, []string{"file:///a?b", "file:///a#b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			paths, others := Parse(test.list)
			if !slices.Equal(paths, test.paths) || !slices.Equal(others, test.others) {
				t.Errorf("got %q and %q, want %q and %q", paths, others, test.paths, test.others)
			}
		})
	}
}

// What one program copies another pastes, whatever the file is called.
func TestOf(t *testing.T) {
	for _, path := range []string{"/a", "/with space", "/100%", "/a?b#c", "/你好", "/a+b&c;d", "/\xff\xfe", "/line\nfeed", "/:x"} {
		uri, err := Of(path)
		if err != nil {
			t.Errorf("%q: %v", path, err)
			continue
		}
		paths, others := Parse(uri + "\r\n")
		if len(others) != 0 || !slices.Equal(paths, []string{path}) {
			t.Errorf("%q became %q, and that %q and %q", path, uri, paths, others)
		}
	}
	for _, path := range []string{"", "a", "./a", "/a\x00b"} {
		if uri, err := Of(path); err == nil {
			t.Errorf("%q became %q", path, uri)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("file:///a\r\nhttps://b\r\n#c\r\n")
	f.Fuzz(func(t *testing.T, list string) {
		paths, others := Parse(list)
		for _, path := range paths {
			if !filepath.IsAbs(path) || filepath.Clean(path) != path {
				t.Errorf("%q gives %q", list, path)
			}
			if uri, err := Of(path); err != nil {
				t.Errorf("%q gives %q: %v", list, path, err)
			} else if again, _ := Parse(uri); !slices.Equal(again, []string{path}) {
				t.Errorf("%q became %q, and that %q", path, uri, again)
			}
		}
		for _, other := range others {
			if other == "" {
				t.Errorf("%q gives an empty one", list)
			}
		}
	})
}
