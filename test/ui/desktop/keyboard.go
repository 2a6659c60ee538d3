package desktop

import (
	"fmt"

	"github.com/jezek/xgb/xproto"
)

// keysym is what X calls a character: its number in Latin-1, another one for all
// that is not in it. Source: appendix A of the X Window System Protocol.
func keysym(r rune) xproto.Keysym {
	if r < 0x100 {
		return xproto.Keysym(r) //nolint:gosec // a small number
	}
	return xproto.Keysym(0x01000000 | r) //nolint:gosec // of Unicode
}

// AddKeys gives each character of a text that no key of the keyboard has a key of its
// own, which it keeps as long as the desktop is there: a program that reads the
// keyboard late finds there what was pressed. Errors: when no key is free.
func (d *Desktop) AddKeys(text string) error {
	conn, _, err := d.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	setup := xproto.Setup(conn)
	first, count := setup.MinKeycode, int(setup.MaxKeycode)-int(setup.MinKeycode)+1
	keyboard, err := xproto.GetKeyboardMapping(conn, first, byte(count)).Reply() //nolint:gosec // at most 248
	if err != nil {
		return fmt.Errorf("what is on the keyboard: %w", err)
	}
	width := int(keyboard.KeysymsPerKeycode)
	has := map[xproto.Keysym]bool{}
	var free []xproto.Keycode
	for i := range count {
		unused := true
		for _, sym := range keyboard.Keysyms[i*width : (i+1)*width] {
			has[sym] = true
			unused = unused && sym == 0
		}
		if unused {
			free = append(free, first+xproto.Keycode(i)) //nolint:gosec // a key
		}
	}
	for _, r := range text {
		sym := keysym(r)
		if r < ' ' || has[sym] {
			continue // controls are keys with names
		}
		if len(free) == 0 {
			return fmt.Errorf("no key is free for %q", r)
		}
		if err := xproto.ChangeKeyboardMappingChecked(conn, 1, free[0], 2, []xproto.Keysym{sym, sym}).Check(); err != nil {
			return fmt.Errorf("a key for %q: %w", r, err)
		}
		has[sym], free = true, free[1:]
	}
	return nil
}
