package backup

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// A Recipient is who a backup is sealed to, an Identity who opens it.
type (
	Recipient = age.Recipient
	Identity  = age.Identity
)

// Ephemeral makes a key that is kept nowhere, and its public text.
func Ephemeral() (Identity, string, error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, "", err
	}
	return key, key.Recipient().String(), nil
}

// Recipients reads public keys as age-keygen prints them (age1...).
func Recipients(texts []string) ([]Recipient, error) {
	var out []Recipient
	for _, text := range texts {
		text = strings.TrimSpace(text)
		found, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil || len(found) != 1 || strings.ContainsAny(text, "\r\n") {
			return nil, fmt.Errorf("%.80q is no recipient: want a public key as age-keygen prints it, age1 and more", text)
		}
		out = append(out, found[0])
	}
	if len(out) == 0 {
		return nil, errors.New("no recipient is named")
	}
	return out, nil
}

// Identities reads a file of private keys as age-keygen writes it.
func Identities(r io.Reader) ([]Identity, error) {
	out, err := age.ParseIdentities(io.LimitReader(r, 1<<20))
	if err != nil { // whose text may quote the key
		return nil, errors.New("the file has no private key: want one as age-keygen writes it, AGE-SECRET-KEY-1 and more")
	}
	return out, nil
}

// minPassphrase is the least length of a passphrase, bytes.
const minPassphrase = 12

// passphrase reads the first line.
func passphrase(r io.Reader) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(r, 4<<10))
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	if line = strings.TrimRight(line, "\r"); len(line) < minPassphrase {
		return "", fmt.Errorf("the passphrase has %d bytes and must have %d or more", len(line), minPassphrase)
	}
	return line, nil
}

// PassphraseRecipient seals to the passphrase in the first line of r.
func PassphraseRecipient(r io.Reader) (Recipient, error) {
	text, err := passphrase(r)
	if err != nil {
		return nil, err
	}
	return age.NewScryptRecipient(text)
}

// PassphraseIdentity opens what was sealed to the passphrase in the first line of r.
func PassphraseIdentity(r io.Reader) (Identity, error) {
	text, err := passphrase(r)
	if err != nil {
		return nil, err
	}
	return age.NewScryptIdentity(text)
}

// Reseal copies a backup, opened by key, into one sealed to others. The content
// is in clear in memory alone.
func Reseal(w io.Writer, file io.Reader, key Identity, to ...Recipient) (Manifest, error) {
	c := &counted{r: file}
	m, line, err := readHead(c)
	if err != nil {
		return m, err
	}
	in, err := age.Decrypt(c, key)
	if err != nil {
		return m, fault(c, "the head of the sealed part", err)
	}
	if _, err := fmt.Fprintf(w, "%s%d %s\n", mark, m.Format, line); err != nil {
		return m, err
	}
	out, err := age.Encrypt(w, to...)
	if err != nil {
		return m, err
	}
	from := &counted{r: in}
	if _, err := io.Copy(out, from); err != nil {
		if from.fault != nil {
			err = fault(c, "the sealed state", err)
		}
		return m, err
	}
	return m, out.Close()
}
