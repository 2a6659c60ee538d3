// Package viewmodel is what the window shows and does, in plain Go: no widget is
// known here, and everything can be tested without a screen.
//
// One goroutine owns it all: that of the Loop, which in the window is GTK's main
// loop. Models are made, read and called on it, and observers are called on it,
// so nothing here is locked. Calls to the core run beside it, through
// Session.call, and come back to it with their answers.
//
// What changes as a whole is a Value; what is rows is a List, whose observers
// are told which rows were inserted, changed and removed. Data flows one way: an
// event of the core changes a model, the model tells its observers, a widget
// draws. A widget that wants something calls a method of a model, and hears of
// the outcome as of any other change.
package viewmodel
