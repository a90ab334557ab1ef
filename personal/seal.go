package personal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// An encrypted string is
//
//	pii:1:KEY:TEXT
//
// KEY is the id of the key, and TEXT the nonce and the sealed bytes, in unpadded
// base64url (RFC 4648, 5).
const sealedPrefix = "pii:1:"

// keyForm matches the id of a key.
var keyForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// errAltered is the error for bytes that were not sealed for their place.
var errAltered = errors.New("the encrypted data was altered, or moved from another event or field")

// gcm returns the cipher of a key.
func gcm(k *Key) (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.Secret[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// seal encrypts plain, binds it to its place, and appends the result to dst.
func seal(dst []byte, k *Key, plain []byte, place string) ([]byte, error) {
	if !keyForm.MatchString(k.ID) {
		return nil, fmt.Errorf("the id of a key is %q: use 1 to 100 letters, digits, '-', '_' and '.'", k.ID)
	}
	c, err := gcm(k)
	if err != nil {
		return nil, err
	}
	// A random nonce of 96 bits for each string: one key must not seal two texts with the
	// same (NIST SP 800-38D, 8.2.2). Seal appends to it, so the text follows its nonce.
	nonce := make([]byte, c.NonceSize(), c.NonceSize()+len(plain)+c.Overhead())
	_, _ = rand.Read(nonce) // it never fails
	dst = append(dst, sealedPrefix+k.ID+":"...)
	return base64.RawURLEncoding.AppendEncode(dst, c.Seal(nonce, nonce, plain, []byte(place))), nil
}

// sealedBy splits an encrypted string into the id of its key and the rest. It returns
// false for any other string, such as one from before encryption.
func sealedBy(text string) (id, rest string, ok bool) {
	rest, ok = strings.CutPrefix(text, sealedPrefix)
	if !ok {
		return "", "", false
	}
	id, rest, ok = strings.Cut(rest, ":")
	return id, rest, ok && keyForm.MatchString(id)
}

// otherForm matches the start of an encrypted string of any version.
var otherForm = regexp.MustCompile(`^pii:([0-9]{1,9}):[A-Za-z0-9._-]{1,100}:`)

// otherVersion returns an error if text was encrypted in a form that this version can't
// read: a handler must not take it for plain text.
func otherVersion(text string) error {
	if found := otherForm.FindStringSubmatch(text); found != nil {
		return fmt.Errorf("it is encrypted in form %s, and this version reads only form 1: update the service, and bring the event back", found[1])
	}
	return nil
}

// open decrypts what seal returned.
func open(k *Key, rest, place string) ([]byte, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(rest)
	if err != nil {
		return nil, errAltered
	}
	c, err := gcm(k)
	if err != nil {
		return nil, err
	}
	// Bytes from a log may be of any length.
	if len(sealed) < c.NonceSize() {
		return nil, errAltered
	}
	plain, err := c.Open(nil, sealed[:c.NonceSize()], sealed[c.NonceSize():], []byte(place))
	if err != nil {
		return nil, errAltered
	}
	return plain, nil
}
