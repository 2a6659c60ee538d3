// Package client is how front ends talk to the headless core: the window, the
// command line and scripts. It finds a profile's folders, starts the core when
// none runs, and speaks protocol/controlpb over the profile's private socket.
package client
