package storetest

import (
	"hash/maphash"
	"iter"
	"strings"
)

var seed = maphash.MakeSeed()

// tree is an ordered map whose versions share what they have in common, so that
// a snapshot is a copy of the root and undoing is forgetting one. (A treap,
// changed by copying the path.)
type tree[V any] struct {
	root *node[V]
}

type node[V any] struct {
	key         string
	value       V
	priority    uint64
	left, right *node[V]
}

func (t tree[V]) get(key string) (V, bool) {
	n := t.root
	for n != nil {
		switch c := strings.Compare(key, n.key); {
		case c == 0:
			return n.value, true
		case c < 0:
			n = n.left
		default:
			n = n.right
		}
	}
	var zero V
	return zero, false
}

func (t tree[V]) has(key string) bool {
	_, ok := t.get(key)
	return ok
}

func (t *tree[V]) put(key string, value V) {
	below, above := split(drop(t.root, key), key)
	n := &node[V]{key: key, value: value, priority: maphash.String(seed, key)}
	t.root = join(join(below, n), above)
}

func (t *tree[V]) remove(key string) { t.root = drop(t.root, key) }

// removeAll removes the keys that begin with prefix.
func (t *tree[V]) removeAll(prefix string) {
	for key := range t.prefix(prefix) {
		t.remove(key)
	}
}

// up gives what is at or above key, ascending, of the version it is called on.
func (t tree[V]) up(key string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) { ascend(t.root, key, yield) }
}

// down gives what is below key, descending.
func (t tree[V]) down(key string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) { descend(t.root, key, yield) }
}

// prefix gives the keys that begin with p, ascending.
func (t tree[V]) prefix(p string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for key, value := range t.up(p) {
			if !strings.HasPrefix(key, p) || !yield(key, value) {
				return
			}
		}
	}
}

func ascend[V any](n *node[V], key string, yield func(string, V) bool) bool {
	if n == nil {
		return true
	}
	if n.key >= key && (!ascend(n.left, key, yield) || !yield(n.key, n.value)) {
		return false
	}
	return ascend(n.right, key, yield)
}

func descend[V any](n *node[V], key string, yield func(string, V) bool) bool {
	if n == nil {
		return true
	}
	if n.key < key && (!descend(n.right, key, yield) || !yield(n.key, n.value)) {
		return false
	}
	return descend(n.left, key, yield)
}

// split cuts n into what is below key and what is not.
func split[V any](n *node[V], key string) (below, above *node[V]) {
	if n == nil {
		return nil, nil
	}
	c := *n
	if n.key < key {
		c.right, above = split(n.right, key)
		return &c, above
	}
	below, c.left = split(n.left, key)
	return below, &c
}

func join[V any](below, above *node[V]) *node[V] {
	switch {
	case below == nil:
		return above
	case above == nil:
		return below
	case below.priority > above.priority:
		c := *below
		c.right = join(below.right, above)
		return &c
	default:
		c := *above
		c.left = join(below, above.left)
		return &c
	}
}

func drop[V any](n *node[V], key string) *node[V] {
	if n == nil {
		return nil
	}
	if n.key == key {
		return join(n.left, n.right)
	}
	c := *n
	if key < n.key {
		c.left = drop(n.left, key)
	} else {
		c.right = drop(n.right, key)
	}
	return &c
}
