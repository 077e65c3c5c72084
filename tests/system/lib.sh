# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the system tests stand on: a clean Debian 12 and its own kernel, fetched once by the apt
# sources of this machine and kept in HUSHFS_CACHE under a name made from what they consist of.
# Nothing of the cache belongs into the tree or anywhere else: it holds this machine's apt sources.

readonly release=bookworm
cache=${HUSHFS_CACHE:-/var/cache/hushfs-tests}
tool=${0##*/}

say() {
    printf '%s: %s\n' "$tool" "$*" >&2
}

die() {
    say "$*"
    exit 99 # not an exit status of what runs inside
}

need() { # PROGRAM...
    local program
    for program; do
        command -v "$program" >/dev/null || die "needs $program: run packaging/install-dependencies test"
    done
}

key_of() { # TEXT...
    printf '%s\n' "$@" | sha256sum | cut -c 1-12
}

# Hold the lock of the cache until the end of the subshell that calls this. What somebody left who
# was ended while he made something goes first.
lock_cache() {
    mkdir -p "$cache"
    exec 8>"$cache/lock"
    flock 8
    rm -rf --one-file-system "$cache"/new.*
}

# -- apt -----------------------------------------------------------------------------------------

# The Debian sources of this machine as lines of sources.list, whatever their format here.
apt_lines() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v release="$release" '($2 == release || $2 ~ "^" release "-(updates|security)$") && $3 == "main" { print "deb " $1 " " $2 " " $3 }' | sort -u
}

refresh_lists() {
    [ -z "$(apt_lines)" ] || return 0
    say 'apt-get update'
    apt-get -qq -o Acquire::Retries=3 update >&2 || die 'apt-get update failed: is there a network?'
    [ -n "$(apt_lines)" ] || die "the apt sources of this machine do not have Debian's $release"
}

# debootstrap downloads by itself: tell it what apt knows about proxies.
use_apt_proxy() {
    local proxy=''
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    [ -z "$proxy" ] || [ "$proxy" = DIRECT ] || export http_proxy=$proxy https_proxy=$proxy
}

# Make apt of a root fetch what and how apt of this machine does.
give_apt() { # ROOT
    rm -rf "$1/etc/apt/sources.list.d"
    apt_lines >"$1/etc/apt/sources.list"
    apt-config dump --no-empty | grep -E '^Acquire::(http|https|ftp|Retries|Check-)' >"$1/etc/apt/apt.conf.d/90hushfs-tests" || true
    if [ -d /etc/apt/auth.conf.d ]; then cp -a /etc/apt/auth.conf.d "$1/etc/apt/"; fi
    if grep -q 'https:' "$1/etc/apt/sources.list" && [ -e /etc/ssl/certs/ca-certificates.crt ]; then
        install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"
    fi
}

# -- The clean root ------------------------------------------------------------------------------

make_root() { # ARCHIVE
    local work mirror
    need debootstrap zstd
    refresh_lists
    use_apt_proxy
    mirror=$(apt_lines | awk -v release="$release" '$3 == release { print $2; exit }')
    work=$(mktemp -d "$cache/new.XXXXXX")
    say 'making a clean Debian 12, once: about a minute'
    debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg "$release" "$work/root" "$mirror" >"$work/log" 2>&1 || {
        sed -E 's#https?://[^ ]+#<mirror>#g' "$work/log" | tail -n 20 >&2
        rm -rf --one-file-system "$work"
        die 'debootstrap failed'
    }
    rm -f "$work/root/var/log/bootstrap.log" "$work/root/etc/hostname" "$work"/root/var/cache/apt/archives/*.deb
    tar --zstd -cf "$work/archive" -C "$work/root" --xattrs --numeric-owner .
    tar --zstd -tf "$work/archive" >"$1.list"
    mv "$work/archive" "$1"
    rm -rf --one-file-system "$work"
}

# The archive of a minimal Debian 12 and, as ARCHIVE.list, what is in it; made if it is not there.
root_archive() {
    local archive
    archive=$cache/root-$(key_of "$release" minbase 2).tar.zst
    [ -s "$archive" ] || (
        lock_cache
        [ -s "$archive" ] || make_root "$archive"
    ) || exit 99
    printf '%s\n' "$archive"
}

# -- The kernel ----------------------------------------------------------------------------------

kernel_package() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-6\.1\./ { print $2; exit }'
}

download_kernel() { # PACKAGE DIRECTORY
    local work
    work=$(mktemp -d "$cache/new.XXXXXX")
    say "fetching $1, once"
    (cd "$work" && { apt-get -qq -o APT::Sandbox::User=root download "$1" >&2 || { apt-get -qq update >&2 && apt-get -qq -o APT::Sandbox::User=root download "$1" >&2; }; }) || {
        rm -rf "$work"
        die "cannot download $1"
    }
    dpkg -x "$work"/*.deb "$work/x"
    mv "$work/x" "$2"
    rm -rf "$work"
}

# The directory of Debian 12's own 6.1 kernel: boot/vmlinuz-*, lib/modules/*. A kernel that is in the
# cache already serves where there is no network.
kernel_directory() {
    local package directory
    directory=$(
        lock_cache
        [ -n "$(kernel_package)" ] || refresh_lists
        package=$(kernel_package)
        directory=$cache/kernel-${package#linux-image-}
        if [ -z "$package" ]; then directory=$(find "$cache" -maxdepth 1 -name 'kernel-6.1.*' | sort -V | tail -n 1); fi
        [ -n "$directory" ] || die "apt does not know linux-image-cloud-amd64 with a 6.1 kernel"
        [ -d "$directory" ] || download_kernel "$package" "$directory"
        printf '%s\n' "$directory"
    ) || exit 99
    printf '%s\n' "$directory"
}

# -- Programs of this machine --------------------------------------------------------------------

# Copy a program to DIRECTORY/DESTINATION with the libraries that the clean root lacks. /lib is a link
# to /usr/lib there: a directory of that name, laid over it, would take the loader away.
copy_program() { # DIRECTORY DESTINATION PROGRAM
    local list library path
    list=$(root_archive).list
    install -D -m 755 "$3" "$1/$2"
    for library in $(ldd "$3" 2>/dev/null | grep -oE '/[^ ]+'); do
        path=$(realpath "${library%/*}")/${library##*/}
        grep -qxF ".$path" "$list" || install -D -m 755 "$library" "$1$path"
    done
}
