package packet

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"testing"
)

// addFrames seeds f with every golden frame and what is near it.
func addFrames(f *testing.F, withLength bool) {
	for _, frame := range frames(f) {
		b, err := AppendFrame(nil, frame)
		if err != nil {
			f.Fatal(err)
		}
		if !withLength {
			b = b[4:]
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
		f.Add(append(bytes.Clone(b), b...))
	}
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
}

// wellFormed checks what a decoder gave: it can be sent on, and means the same
// to the next one.
func wellFormed(t *testing.T, frame Frame) {
	t.Helper()
	if frame == nil {
		return
	}
	if hello, ok := frame.(*Hello); ok && hello.Version != Version {
		return // nothing else is known of it
	}
	b, err := AppendFrame(nil, frame)
	if err != nil {
		t.Fatalf("decoded to %+v, which cannot be sent: %v", frame, err)
	}
	again, err := DecodeFrame(b[4:])
	if err != nil {
		t.Fatalf("decoded to %+v, which the next one refuses: %v", frame, err)
	}
	c, err := AppendFrame(nil, again)
	if err != nil || !bytes.Equal(b, c) {
		t.Fatalf("decoded to %+v and then to %+v, %v", frame, again, err)
	}
}

// known fails for an error that tells its reader nothing.
func known(t *testing.T, err error, others ...error) {
	t.Helper()
	for _, want := range append(others, ErrMalformed, ErrTooLarge) {
		if errors.Is(err, want) {
			return
		}
	}
	t.Fatalf("error of no kind: %v", err)
}

func FuzzReadFrame(f *testing.F) {
	addFrames(f, true)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		for {
			frame, err := ReadFrame(r, MaxFrame)
			if err != nil {
				known(t, err, io.EOF, io.ErrUnexpectedEOF)
				return
			}
			wellFormed(t, frame)
		}
	})
}

func FuzzReadStreamFrame(f *testing.F) {
	for _, frame := range streamFrames(f) {
		b, err := AppendStreamFrame(nil, frame)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		for {
			frame, err := ReadStreamFrame(r, MaxStreamFrame)
			if err != nil {
				known(t, err, io.EOF, io.ErrUnexpectedEOF)
				return
			}
			if frame == nil {
				continue
			}
			if _, err := AppendStreamFrame(nil, frame); err != nil {
				t.Fatalf("decoded to %+v, which cannot be sent: %v", frame, err)
			}
		}
	})
}

// FuzzDecodeFolder: whatever comes in, nothing leads out of the folder.
func FuzzDecodeFolder(f *testing.F) {
	b, err := testFolder().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		folder, _, err := DecodeFolder(b)
		if err != nil {
			known(t, err)
			return
		}
		for _, e := range folder {
			if !filepath.IsLocal(e.Path) {
				t.Fatalf("%q leads out of the folder", e.Path)
			}
			if e.Kind == FolderLink && !filepath.IsLocal(filepath.Join(filepath.Dir(e.Path), e.Target)) {
				t.Fatalf("the link %q leads to %q", e.Path, e.Target)
			}
		}
		if _, err := folder.Encode(); err != nil {
			t.Fatalf("decoded to %+v, which cannot be sent: %v", folder, err)
		}
	})
}

func FuzzDecodeFrame(f *testing.F) {
	addFrames(f, false)
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := DecodeFrame(b)
		if err != nil {
			known(t, err)
			return
		}
		wellFormed(t, frame)
	})
}

func FuzzOpen(f *testing.F) {
	for _, frame := range frames(f) {
		if p, ok := frame.(*Packet); ok {
			f.Add(p.Raw, p.Signature, p.Content)
		}
	}
	f.Fuzz(func(t *testing.T, raw, signature, content []byte) {
		p, err := Open(raw, signature, content)
		if err != nil {
			known(t, err)
			return
		}
		if err := p.Header.validate(); err != nil {
			t.Fatalf("opened %+v: %v", p.Header, err)
		}
		// An honest author could have made it.
		again, err := Seal(p.Header, content, signer(aliceKey))
		if err != nil {
			t.Fatalf("opened %+v, which nobody can seal: %v", p.Header, err)
		}
		want := p.Header
		want.ContentHash = HashOf(content)
		if again.Header != want {
			t.Fatalf("sealed as %+v, opened as %+v", again.Header, want)
		}
		if p.Verify(public(aliceKey)) == nil && p.Header.Device != DeviceIDOf(public(aliceKey)) {
			t.Fatalf("verified by a device that is not the author's: %+v", p.Header)
		}
	})
}

func FuzzUnmarshal(f *testing.F) {
	for _, frame := range frames(f) {
		if p, ok := frame.(*Packet); ok {
			b, err := p.Marshal()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Unmarshal(b)
		if err != nil {
			known(t, err)
			return
		}
		c, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		q, err := Unmarshal(c)
		if err != nil || q.Header != p.Header || !bytes.Equal(q.Raw, p.Raw) || !bytes.Equal(q.Signature, p.Signature) || !bytes.Equal(q.Content, p.Content) {
			t.Fatalf("%+v became %+v, %v", p, q, err)
		}
	})
}

func FuzzOpenRegister(f *testing.F) {
	r := readRegister(f)
	f.Add(r.Raw, r.Signature)
	f.Add(r.Raw[:20], r.Signature)
	f.Fuzz(func(t *testing.T, raw, signature []byte) {
		r, err := OpenRegister(raw, signature)
		if err != nil {
			known(t, err)
			return
		}
		again, err := SealRegister(r, signer(aliceKey))
		if err != nil {
			t.Fatalf("opened %+v, which nobody can seal: %v", r, err)
		}
		again.Raw, again.Signature = r.Raw, r.Signature
		if !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v became %+v", r, again)
		}
		if r.Supersedes(&again) || again.Supersedes(&r) {
			t.Fatalf("%+v supersedes itself", r)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"alice", "alice-bob", "abcdefghijklmnopqrstuvwxyz", "net2019:2017000001-2017000002", "text", "org.example.poll/vote",
		"tc5ikmckyy47b5k5vkybvvwvsk7ejijf", "018fd5c2-9d10-7abc-8def-0123456789ab", "", "a\n", "-", "\xff", "\u202e",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := ParseUserID(s); err == nil {
			if u == "" || len(u) > MaxUserID || bytes.ContainsAny([]byte(u), "-:/ \n") {
				t.Fatalf("user id %q", u)
			}
			if chat, err := ParseChatID(string(DirectChat(u, "0"))); u != "0" && (err != nil || chat.Kind() != Direct) {
				t.Fatalf("chat with %q: %v", u, err)
			}
		}
		if c, err := ParseChatID(s); err == nil {
			if len(c) > MaxChatID {
				t.Fatalf("chat id %q", c)
			}
			if a, b, ok := c.Users(); ok != (c.Kind() == Direct) || ok && (DirectChat(a, b) != c || DirectChat(b, a) != c) {
				t.Fatalf("chat id %q of %q and %q", c, a, b)
			}
		}
		if d, err := ParseDeviceID(s); err == nil && d.String() != s {
			t.Fatalf("device id %q is %q", s, d)
		}
		if id, err := ParsePacketID(s); err == nil {
			if again, err := ParsePacketID(id.String()); err != nil || again != id || id.IsZero() {
				t.Fatalf("packet id %q is %q, %v", s, id, err)
			}
		}
		if typ, err := ParseType(s); err == nil && (len(typ) > MaxType || typ == "") {
			t.Fatalf("type %q", typ)
		}
	})
}
