// Package desktop is what the window has to do with the desktop around it, over
// D-Bus' session bus: being there only once, taking links, and following whether
// the desktop is light or dark. It knows no widget, and no page.
package desktop
