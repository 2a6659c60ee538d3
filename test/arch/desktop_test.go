package arch

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// application is the name by which desktops know the window: that of its entry, its
// icon, its windows' class, and its name on the bus.
const application = "chat.parley.Parley"

// TestDesktopEntry: desktops take the entry and the metainfo as they are, and what
// these name is there.
func TestDesktopEntry(t *testing.T) {
	folder := filepath.Join("..", "..", "packaging", "desktop")
	entry, info := filepath.Join(folder, application+".desktop"), filepath.Join(folder, application+".metainfo.xml")
	for _, check := range [][]string{
		{"desktop-file-validate", "--no-hints", entry},
		{"appstreamcli", "validate", "--no-net", info},
	} {
		if _, err := exec.LookPath(check[0]); err != nil {
			t.Errorf("%s is not installed: run scripts/setup test", check[0])
			continue
		}
		out, err := exec.CommandContext(t.Context(), check[0], check[1:]...).CombinedOutput() //nolint:gosec // the two above
		if err != nil || strings.Contains(string(out), ": error:") || strings.Contains(string(out), ": warning:") {
			t.Errorf("%s: %v\n%s", check[0], err, out)
		}
	}
	b, err := os.ReadFile(entry)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"Icon=" + application, "StartupWMClass=" + application, "Exec=parley-gtk %U", "MimeType=x-scheme-handler/parley;"} {
		if !strings.Contains(string(b), "\n"+line+"\n") {
			t.Errorf("the entry lacks %s", line)
		}
	}
	for path, constant := range map[string]string{
		"ui-gtk/app/icons.go": "iconName", "ui-gtk/desktop/instance.go": "applicationName",
	} {
		source, err := os.ReadFile(filepath.Join("..", "..", path))
		if err != nil || !regexp.MustCompile(constant+`\s+= "`+regexp.QuoteMeta(application)+`"`).Match(source) {
			t.Errorf("%s: %s is not %s (%v)", path, constant, application, err)
		}
	}
	for _, icon := range []string{application + ".svg", application + "-symbolic.svg"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "ui-gtk", "assets", "icons", icon))
		if err != nil {
			t.Error(err)
			continue
		}
		var svg struct {
			XMLName xml.Name
			ViewBox string `xml:"viewBox,attr"`
		}
		if err := xml.Unmarshal(b, &svg); err != nil || svg.XMLName.Local != "svg" || svg.ViewBox == "" {
			t.Errorf("%s is no scalable icon: %v", icon, err)
		}
	}
}
