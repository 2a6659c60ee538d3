//go:build !linux

package conn

import "context"

// Watch implements Network.
func (n hostNetwork) Watch(ctx context.Context, changed func()) { n.poll(ctx, changed) }
