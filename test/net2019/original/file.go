package original

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// piece is how much of a file is read and written at once.
const piece = 1024

// SendFile sends an image or a file to each of a chat, which they are told lies at
// path. What Config.Writes leaves out is lost.
func (c *Client) SendFile(chat string, kind int, path string, content io.ReadSeeker, size int64) error {
	for _, l := range c.linksOf(chat) {
		if _, err := content.Seek(0, io.SeekStart); err != nil {
			return err
		}
		f := c.Frame(chat, kind, path)
		f.Length = size
		if err := l.sendFile(f, content); err != nil {
			return err
		}
	}
	return nil
}

func (l *Link) sendFile(f Frame, content io.Reader) error {
	if err := l.Send(f); err != nil {
		return err
	}
	b := make([]byte, piece)
	for {
		n, err := io.ReadFull(content, b)
		taken := n
		if l.client.cfg.Writes != nil {
			taken = l.client.cfg.Writes(n)
		}
		if taken > 0 {
			if err := l.Write(b[:taken]); err != nil {
				return err
			}
		}
		if err != nil { // there is no more
			return nil //nolint:nilerr // who sends short files may run out of them too
		}
	}
}

// receive takes the bytes behind a frame into the folder.
func (l *Link) receive(f Frame) (path string, err error) {
	slash := strings.LastIndex(f.Content, "/")
	if slash < 0 {
		return "", fmt.Errorf("%q has no slash in it", f.Content)
	}
	path = filepath.Join(l.client.cfg.Folder, f.Content[slash+1:])
	file, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	for left := f.Length; left > 0; left -= piece { // whatever a read gives
		if l.client.cfg.BeforeRead != nil {
			l.client.cfg.BeforeRead()
		}
		b, err := l.recv(min(piece, left))
		if err != nil {
			return "", fmt.Errorf("%d bytes of %s are missing: %w", left, f.Content, err)
		}
		if _, err := file.Write(b); err != nil {
			return "", err
		}
	}
	return path, nil
}
