#!/bin/sh
# Render every line of workers/twin/data/speech/lines.yaml to a WAV file beside it.
# Needs flite 2.2 with the voices slt and rms, and sox. The WAV files are committed, so only
# somebody who changes a line runs this.
set -eu
cd "$(dirname "$0")/../../workers/twin/data/speech"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# lines.yaml is read as text, so that this needs nothing but a shell: name, side, text in that order.
sed -n -e 's/^\([a-z_]*\):$/\1/p' -e 's/^  side: \(.*\)$/\1/p' -e 's/^  text: "\(.*\)"$/\1/p' lines.yaml |
while read -r name && read -r side && IFS= read -r text; do
    case $side in
        agent) voice=slt rate=24000 ;;
        caller) voice=rms rate=8000 ;;
        say) voice=awb rate=8000 ;;
        *) echo "$name: unknown side $side" >&2; exit 1 ;;
    esac
    flite -voice "$voice" -t "$text" -o "$work/raw.wav"
    # Cut the silence at both ends (a turn must begin and end with its words), keep 40 ms of it.
    sox "$work/raw.wav" "$work/cut.wav" \
        silence 1 0.01 0.4% reverse silence 1 0.01 0.4% reverse pad 0.04 0.04
    # Same loudness for every line: -20 dBFS RMS, which leaves flite's peaks below full scale.
    rms=$(sox "$work/cut.wav" -n stat 2>&1 | sed -n 's/^RMS .*amplitude: *//p')
    gain=$(echo "$rms" | awk '{ print -20 - 20 * log($1) / log(10) }')
    # -R: the same dither every time, so that an unchanged line renders to the same bytes.
    sox -R "$work/cut.wav" -b 16 -c 1 -r "$rate" "$name.wav" gain "$gain" rate -v "$rate"
    echo "$name $side $(soxi -D "$name.wav") s"
done
