package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/internal/bytesize"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// demoFileSize is that of the film with which the original system was measured.
const demoFileSize = 20_900_000

// files sends a file and a picture.
func (s *script) files() error {
	film, picture := filepath.Join(s.folder, "film.mp4"), filepath.Join(s.folder, "sunset.png")
	if err := s.step("alice has a file and a picture", func() (string, error) {
		if err := writeFilm(film); err != nil {
			return "", err
		}
		return bytesize.Text(demoFileSize), writePicture(picture)
	}); err != nil {
		return err
	}
	downloads := filepath.Join(s.folder, "bob's downloads")
	if _, err := s.bob.client.SetSetting(s.ctx, &controlpb.SetSettingRequest{Plugin: filePlugin, Name: "download-folder", Value: downloads}); err != nil {
		return fmt.Errorf("bob chooses a folder for downloads: %w", err)
	}
	for _, path := range []string{film, picture} {
		what := "alice sends the file, bob accepts and has it"
		if path == picture {
			what = "and the picture, without where it was taken"
		}
		if err := s.step(what, func() (string, error) { return s.sendFile(path, downloads) }); err != nil {
			return err
		}
	}
	return nil
}

// sendFile has alice offer a file and bob get it, and compares.
func (s *script) sendFile(path, downloads string) (string, error) {
	id, err := s.offer(s.alice, path)
	if err != nil {
		return "", err
	}
	return s.accept(s.bob, s.alice, id, path, downloads)
}

// offer offers a file to the chat, and gives the message.
func (s *script) offer(from *person, path string) ([]byte, error) {
	req := &pluginpb.InvokeRequest{Invocation: client.NewInvocation(), Action: "send", Chat: s.chat, Paths: []string{path}}
	result, err := from.client.InvokeAction(s.ctx, filePlugin, req, nil)
	if err != nil {
		return nil, err
	}
	if len(result.GetSent()) != 1 {
		return nil, fmt.Errorf("%d offers were made, not 1", len(result.GetSent()))
	}
	return result.GetSent()[0], nil
}

// accept has somebody get what was offered, and compares.
func (s *script) accept(p, from *person, id []byte, path, downloads string) (string, error) {
	if err := p.await(s.ctx, p.name+" sees the offer", func(e *controlpb.Event) bool {
		return bytes.Equal(e.GetMessageAdded().GetId(), id)
	}); err != nil {
		return "", err
	}
	start := time.Now()
	accept := &pluginpb.InvokeRequest{Invocation: client.NewInvocation(), Action: "accept", Chat: s.chat, Message: id}
	if _, err := p.client.InvokeAction(s.ctx, filePlugin, accept, nil); err != nil {
		return "", err
	}
	got, err := s.arrived(p, from, id)
	if err != nil {
		return "", err
	}
	took := time.Since(start)
	if err := sameContent(s.ctx, path, got.GetBlob(), downloads); err != nil {
		return "", err
	}
	speed := float64(got.GetBlob().GetSize()) / took.Seconds()
	return fmt.Sprintf("%s in %s, %s/s", bytesize.Text(got.GetBlob().GetSize()), milliseconds(took), bytesize.Text(uint64(speed))), nil
}

// arrived waits until the blob of a message is with somebody, and its author knows.
func (s *script) arrived(p, from *person, id []byte) (*controlpb.Blob, error) {
	var got *controlpb.Blob
	err := s.until(s.ctx, p.name+" has it", func() (bool, error) {
		m, err := oneMessage(s.ctx, p.client, s.chat, id)
		if err != nil || len(m.GetBlobs()) != 1 {
			return false, err
		}
		got = m.GetBlobs()[0]
		if got.GetBlob().GetState() == pluginpb.BlobState_BLOB_STATE_FAILED {
			return false, fmt.Errorf("it failed: %s", got.GetBlob().GetReason())
		}
		return got.GetBlob().GetState() == pluginpb.BlobState_BLOB_STATE_DONE, nil
	})
	if err != nil {
		return nil, err
	}
	return got, s.until(s.ctx, from.name+" sees that "+p.name+" has it", func() (bool, error) {
		m, err := oneMessage(s.ctx, from.client, s.chat, id)
		for _, an := range m.GetAnnotations() {
			if an.GetAuthor() == p.name && bytes.Contains(an.GetValue(), []byte(`"received"`)) {
				return true, nil
			}
		}
		return false, err
	})
}

// sameContent compares what was sent with what came. A picture is sent without
// its metadata, so of one only that it can be seen is checked.
func sameContent(ctx context.Context, path string, b *pluginpb.Blob, downloads string) error {
	if filepath.Dir(b.GetPath()) != downloads {
		return fmt.Errorf("it is in %s, not in %s", b.GetPath(), downloads)
	}
	came, err := os.ReadFile(b.GetPath())
	if err != nil {
		return fmt.Errorf("read what came: %w", err)
	}
	if filepath.Ext(path) == ".png" {
		if _, err := png.DecodeConfig(bytes.NewReader(came)); err != nil {
			return fmt.Errorf("the picture that came cannot be read: %w", err)
		}
		return ctx.Err()
	}
	sent, err := os.ReadFile(path) //nolint:gosec // the demo's own file
	if err != nil {
		return fmt.Errorf("read what was sent: %w", err)
	}
	if packet.HashOf(sent) != packet.HashOf(came) {
		return fmt.Errorf("%s differs from %s", b.GetPath(), path)
	}
	return ctx.Err()
}

func writeFilm(path string) error {
	b := make([]byte, demoFileSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return fmt.Errorf("write the file to send: %w", err)
	}
	return nil
}

func writePicture(path string) error {
	const width, height = 800, 500
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, color.NRGBA{uint8(255 - y/4), uint8(140 - y/6), uint8(60 + x/10), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return fmt.Errorf("draw the picture to send: %w", err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write the picture to send: %w", err)
	}
	return nil
}
