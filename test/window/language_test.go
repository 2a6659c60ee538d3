package window

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/test/ui/atspi"
	"github.com/parley-chat/parley/test/ui/desktop"
	"github.com/parley-chat/parley/ui-gtk/texts"
)

// TestErrorsInChinese: what the core, a plugin, the directory and the doctor say is
// said in the window's language.
func TestErrorsInChinese(t *testing.T) {
	t.Parallel()
	w := newWorld(t, desktop.Config{Width: 1100, Height: 1240})
	anna := w.anna
	anna.words = texts.New("zh-Hans")
	anna.prefer(`{"theme": "light", "language": "zh-Hans"}`)
	anna.open()

	anna.opened()
	anna.screen.Keys("ctrl+n")
	add := anna.app.Window(anna.tr("Add a contact"))
	who := add.Find(atspi.Text, anna.tr("User id or link"))
	who.SetText("bob")
	add.Find(atspi.PushButton, anna.tr("Send the request")).Click()
	anna.screen.Until("it is said that bob is a contact", func() bool { return who.Description() == "bob 已经是联系人。" })
	anna.shot("chinese-error-core")
	anna.app.Activate(add)
	anna.screen.Keys("Escape")

	prefs := anna.preferences("Account")
	anna.app.Resize(prefs, 760, 1200)
	prefs.Find(atspi.PasswordText, anna.tr("Present password")).SetText("not the password")
	for _, field := range []string{"New password", "New password once more"} {
		prefs.Find(atspi.PasswordText, anna.tr(field)).SetText("another password")
	}
	prefs.Find(atspi.PushButton, anna.tr("Change password")).Click()
	prefs.Find(atspi.Label, "用户名或密码错误。")
	anna.shot("chinese-error-directory")

	prefs.Find(atspi.ListItem, anna.tr("Network")).Select()
	prefs.Find(atspi.PushButton, anna.tr("Examine")).Click()
	prefs.FindFunc(atspi.Label, "that the directory answers", func(s string) bool { return strings.Contains(s, " 内回应") })
	prefs.FindFunc(atspi.Label, "how many plugins there are", func(s string) bool { return strings.HasPrefix(s, "找到 ") })
	anna.shot("chinese-doctor")
	anna.app.Activate(prefs)
	anna.screen.Keys("Escape")

	anna.openChat("bob")
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("gone soon"), 0o600); err != nil {
		t.Fatal(err)
	}
	anna.screen.Copy(map[string][]byte{"text/uri-list": []byte("file://" + path + "\r\n")})
	anna.app.Activate(anna.window)
	anna.composer().Focus()
	anna.screen.Keys("ctrl+v")
	anna.window.FindFunc(atspi.PushButton, "to take the file back", func(s string) bool { return strings.Contains(s, "notes.txt") })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	anna.composer().Focus()
	anna.screen.Keys("Return")
	anna.window.FindFunc(atspi.Label, "that the file is gone", func(s string) bool { return strings.Contains(s, "notes.txt 已不存在，请选择其他文件。") })
	anna.shot("chinese-error-plugin")
}

// TestWaitingInChinese: why a file of somebody else's does not come is said in the
// window's language.
func TestWaitingInChinese(t *testing.T) {
	t.Parallel()
	w := newWorld(t, desktop.Config{Width: 1100, Height: 780})
	anna := w.anna
	anna.words = texts.New("zh-Hans")
	anna.prefer(`{"theme": "light", "language": "zh-Hans"}`)
	anna.set("file", "download-folder", t.TempDir())
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("later"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.bob.send(anna, "", path)
	blob := func(p *person) (found *pluginpb.Blob) {
		p.until("the file is offered", func(ctx context.Context) (bool, error) {
			resp, err := p.Client.ListBlobs(ctx, &controlpb.ListBlobsRequest{Limit: 1})
			if err != nil || len(resp.GetBlobs()) == 0 {
				return false, err
			}
			found = resp.GetBlobs()[0].GetBlob()
			return true, nil
		})
		return found
	}
	order := func(p *person, action string) {
		b := blob(p)
		p.invoke("file", &pluginpb.InvokeRequest{Action: action, Chat: b.GetChat(), Message: b.GetMessage()})
	}
	order(w.bob, "pause")
	order(anna, "accept")
	anna.open()
	anna.openChat("bob")
	anna.window.FindFunc(atspi.Label, "who paused the file", func(s string) bool { return strings.Contains(s, "已被 bob 暂停") })
	anna.shot("chinese-file-waits")
}
