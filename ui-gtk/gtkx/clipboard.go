package gtkx

// #include <stdlib.h>
// #include "gtkx.h"
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"runtime/cgo"
	"slices"
	"strings"
	"unsafe"

	"github.com/gotk3/gotk3/glib"

	_ "image/gif"  // programs put these on the clipboard
	_ "image/jpeg" // as well

	"github.com/parley-chat/parley/ui-gtk/gtkx/uri"

	_ "golang.org/x/image/bmp"  // and these,
	_ "golang.org/x/image/tiff" // above all when
	_ "golang.org/x/image/webp" // they have no PNG
)

// MaxClipboard is how much is taken from the clipboard, in bytes.
const MaxClipboard = 64 << 20

var (
	// ErrNotThere is told when the clipboard does not hold what was asked for, or its
	// owner does not hand it out.
	ErrNotThere = errors.New("not on the clipboard")
	// ErrTooLarge is told of pictures of more than MaxPixels, and of more on the
	// clipboard than MaxClipboard.
	ErrTooLarge = errors.New("too large")
)

// Clip is what goes on the clipboard: the same thing in one or more forms, of which
// the program that pastes takes what suits it.
type Clip struct {
	Text  string
	PNG   []byte
	Files []string // absolute paths
}

// Holding says in which forms the clipboard has what it has.
type Holding struct{ Text, Picture, Files bool }

// SetClipboard puts something on the clipboard; no form at all is an error.
func SetClipboard(clip Clip) error {
	var text, uris, copied *C.char
	var picture unsafe.Pointer
	if clip.Text != "" {
		text = cString(clip.Text)
		defer C.free(unsafe.Pointer(text))
	}
	if len(clip.PNG) > 0 {
		picture = C.CBytes(clip.PNG)
		defer C.free(picture)
	}
	if len(clip.Files) > 0 {
		list := make([]string, 0, len(clip.Files))
		for _, path := range clip.Files {
			name, err := uri.Of(path)
			if err != nil {
				return err
			}
			list = append(list, name)
		}
		uris = cString(strings.Join(list, "\r\n") + "\r\n")
		defer C.free(unsafe.Pointer(uris))
		copied = cString("copy\n" + strings.Join(list, "\n")) // for GNOME's file manager
		defer C.free(unsafe.Pointer(copied))
	}
	if C.gtkx_clipboard_set(text, picture, C.size_t(len(clip.PNG)), uris, copied) == 0 {
		return errors.New("could not put anything on the clipboard")
	}
	return nil
}

// ReadHolding asks what the clipboard holds. It comes back at once; done is called
// later, on the GTK thread, as with the other functions that read the clipboard.
func ReadHolding(done func(Holding)) {
	readTargets(func(names []string, text bool) {
		done(Holding{
			Text:    text,
			Picture: slices.ContainsFunc(pictureTypes, func(mime string) bool { return slices.Contains(names, mime) }),
			Files:   slices.Contains(names, uriList),
		})
	})
}

// ReadText reads the text on the clipboard. Errors: ErrNotThere, ErrTooLarge.
func ReadText(done func(string, error)) {
	C.gtkx_clipboard_text(newHandle(func(b []byte, err error) { done(string(b), err) }))
}

// ReadFiles reads the files on the clipboard, as absolute paths. others are URIs
// that name no file of this machine. Errors: ErrNotThere, ErrTooLarge.
func ReadFiles(done func(paths, others []string, err error)) {
	readContents(uriList, func(b []byte, err error) {
		if err != nil {
			done(nil, nil, err)
			return
		}
		paths, others := uri.Parse(string(b))
		done(paths, others, nil)
	})
}

// ReadPicture reads the picture on the clipboard, as a PNG file: what it was if it
// was one, or what Go reads and writes anew. Errors: ErrNotThere, ErrTooLarge, and
// those of a picture that cannot be read.
func ReadPicture(done func(file []byte, err error)) {
	readTargets(func(names []string, _ bool) {
		at := slices.IndexFunc(pictureTypes, func(mime string) bool { return slices.Contains(names, mime) })
		if at < 0 {
			done(nil, fmt.Errorf("a picture is %w", ErrNotThere))
			return
		}
		readContents(pictureTypes[at], func(b []byte, err error) {
			if err != nil {
				done(nil, err)
				return
			}
			go func() { // large ones take long
				file, err := toPNG(b)
				glib.IdleAdd(func() { done(file, err) })
			}()
		})
	})
}

const uriList = "text/uri-list"

// pictureTypes are those that Go reads, the best first.
var pictureTypes = []string{"image/png", "image/webp", "image/tiff", "image/bmp", "image/jpeg", "image/gif"}

// toPNG gives a picture as a PNG file.
func toPNG(b []byte) ([]byte, error) {
	cfg, format, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("the picture on the clipboard cannot be read: %w", err)
	}
	if cfg.Width <= 0 || cfg.Height <= 0 || cfg.Width > MaxPixels/cfg.Height {
		return nil, fmt.Errorf("the picture on the clipboard, %dx%d: %w", cfg.Width, cfg.Height, ErrTooLarge)
	}
	if format == "png" {
		return b, nil
	}
	img, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("the picture on the clipboard cannot be read: %w", err)
	}
	var file bytes.Buffer
	if err := png.Encode(&file, img); err != nil {
		return nil, err
	}
	return file.Bytes(), nil
}

func readTargets(done func(names []string, text bool)) { C.gtkx_clipboard_targets(newHandle(done)) }

func readContents(target string, done func([]byte, error)) {
	cs := cString(target)
	defer C.free(unsafe.Pointer(cs))
	C.gtkx_clipboard_contents(cs, newHandle(done))
}

func newHandle(f any) C.uintptr_t { return C.uintptr_t(cgo.NewHandle(f)) }

//export gtkxClipboardTargets
func gtkxClipboardTargets(handle C.uintptr_t, names *C.char, text C.gboolean) {
	h := cgo.Handle(handle)
	done := h.Value().(func([]string, bool))
	h.Delete()
	done(strings.Split(C.GoString(names), "\n"), text != 0)
}

//export gtkxClipboardContents
func gtkxClipboardContents(handle C.uintptr_t, data unsafe.Pointer, length C.gint) {
	h := cgo.Handle(handle)
	done := h.Value().(func([]byte, error))
	h.Delete()
	switch {
	case length < 0 || data == nil:
		done(nil, ErrNotThere)
	case length > MaxClipboard:
		done(nil, fmt.Errorf("%d bytes on the clipboard: %w", int(length), ErrTooLarge))
	default:
		done(C.GoBytes(data, length), nil)
	}
}
