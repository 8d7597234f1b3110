#!/usr/bin/python3
"""The game in examples/embed/game: built outside of this tree as its first comment says, and played on a screen of its
own. What it shows is compared with what its module bakes in a plain Lua. Prints TAP."""

import glob
import os
import re
import shutil
import struct
import subprocess

from library_support import Folder, equal, run

SOURCES = os.path.abspath("examples/embed/game")
WIDTH, HEIGHT, TILE, CHART = 960, 540, 128, 300
# What is drawn over the picture: left, top, right, bottom.
STATUS, GRAPH = (16, 12, 402, 30), (16, 366, 386, 524)
BLUE, ORANGE, RED, YELLOW = (127, 178, 229), (255, 154, 60), (255, 80, 64), (255, 210, 74)
BARS = {BLUE, ORANGE, RED}

game = Folder()
screen = subprocess.Popen(["Xvfb", "-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
game.environment.update(DISPLAY=":" + screen.stdout.readline().strip(), SDL_VIDEODRIVER="x11",
                        LD_LIBRARY_PATH=game.prefix + "/lib")


def play(*options, **more):
    """Plays, and returns the numbers that it printed, by name."""
    text = game.run("./game", "--stats", *options, **more)
    found = {name: int(number) for number, name in re.findall(r"(\d+) (wanted|missing|baked|cancelled|failed)", text)}
    found["frames"], found["baking"] = map(int, re.search(r"frames (\d+), of them (\d+) while", text).groups())
    found["map"] = tuple(map(int, re.search(r"map from (-?\d+) (-?\d+)", text).groups()))
    return found


class Picture:
    """A BMP file of 24 or 32 bits a pixel."""

    def __init__(self, name):
        with open(f"{game.path}/{name}", "rb") as file:
            self.data = file.read()
        self.start, self.width, height = struct.unpack_from("<10xI4xii", self.data)
        self.bytes = struct.unpack_from("<H", self.data, 28)[0] // 8
        self.pitch = (self.width * self.bytes + 3) // 4 * 4
        equal((self.width, height, self.bytes in (3, 4)), (WIDTH, HEIGHT, True))

    def at(self, x, y):
        """Red, green and blue. The file begins with the lowest row."""
        place = self.start + (HEIGHT - 1 - y) * self.pitch + x * self.bytes
        return tuple(self.data[place:place + 3][::-1])


def inside(x, y, area):
    return area[0] <= x < area[2] and area[1] <= y < area[3]


def bake(tiles, seed):
    """What a Lua without any of ours makes of these tiles."""
    calls = "".join(f"io.write(terrain.bake({x}, {y}, {seed}))" for x, y in tiles)
    code = f'package.path = "{SOURCES}/?.lua" local terrain = require "terrain" {calls}'
    output = subprocess.run(["lua5.4", "-e", code], stdout=subprocess.PIPE, check=True).stdout
    size = TILE * TILE * 4
    equal(len(output), len(tiles) * size)
    return [output[i * size:(i + 1) * size] for i in range(len(tiles))]


def differences(picture, tile, texels, left, top):
    """How many pixels of the picture are not those of a tile, and how many of these are black: nothing was there."""
    wrong = black = 0
    for v in range(TILE):
        for u in range(TILE):
            x, y = tile[0] * TILE + u - left, tile[1] * TILE + v - top
            if not inside(x, y, (0, 0, WIDTH, HEIGHT)) or inside(x, y, STATUS) or inside(x, y, GRAPH):
                continue
            place = (v * TILE + u) * 4
            shown = picture.at(x, y)
            wrong += shown != (texels[place + 2], texels[place + 1], texels[place])
            black += shown == (0, 0, 0)
    return wrong, black


def test_the_command_in_its_first_comment_builds_it(_):
    for path in glob.glob(SOURCES + "/*"):
        shutil.copy(path, game.path)
    with open(SOURCES + "/main.c") as file:
        command = re.search(r"cc .*pkg-config.*", file.read()).group()
    equal(game.run("sh", "-c", command + " -Wall -Wextra -Werror"), "")


def test_the_map_shows_what_was_baked_while_frames_went_on(_):
    seen = play("--frames", "20", "--map", "--settle", "--seed", "11", "--screenshot", "map.bmp")
    equal((seen["missing"], seen["failed"], seen["baked"] >= seen["wanted"] > 50), (0, 0, True))
    equal(seen["baking"] > 4, True)
    left, top = seen["map"]
    tiles = [(x, y) for y in range(top // TILE, (top + HEIGHT - 1) // TILE + 1)
             for x in range(left // TILE, (left + WIDTH - 1) // TILE + 1)]
    picture, right = Picture("map.bmp"), 0
    for tile, texels in zip(tiles, bake(tiles, 11)):
        wrong, black = differences(picture, tile, texels, left, top)
        right += wrong == 0
        equal((tile, wrong), (tile, black))  # a corner of the map may be too far away to be wanted
    equal(right >= len(tiles) * 0.85, True)


def test_the_graph_has_a_bar_for_each_frame(_):
    seen = play("--frames", "120", "--screenshot", "graph.bmp")
    equal(seen["frames"], 120)
    picture, last = Picture("graph.bmp"), GRAPH[0] + 10 + CHART - 1
    for lowest, highest in ((449, 390), (513, 474)):
        rows = range(highest, lowest + 1)
        bars = [x for x in range(GRAPH[0], GRAPH[2]) if picture.at(x, lowest) in BARS]
        equal(bars, list(range(last - 118, last + 1)))  # that of this frame is not yet there
        limits = [y for y in rows if sum(picture.at(x, y) == YELLOW for x in range(last - CHART, last)) > 250]
        equal(len(limits), 1)


def test_frames_do_not_wait_for_tiles(_):
    seen = play("--frames", "4", "--workers", "1")
    equal((seen["frames"], seen["missing"] > 0), (4, True))


def test_the_camera_sees_the_terrain_below_the_sky(_):
    play("--frames", "10", "--settle", "--screenshot", "view.bmp")
    picture = Picture("view.bmp")
    sky = {picture.at(x, 2) for x in range(WIDTH)}
    equal(all(blue > red and blue > green for red, green, blue in sky), True)
    ground = [picture.at(x, y) for y in range(300, 360) for x in range(0, WIDTH, 2)]
    equal(len(set(ground)) > 1000, True)
    # Mist is grey and bright: where a tile is missing there is nothing else.
    mist = sum(min(color) > 170 and max(color) - min(color) < 30 for color in ground)
    equal(mist < len(ground) / 4, True)


def test_what_the_camera_leaves_behind_is_cancelled(_):
    seen = play("--frames", "40", "--workers", "1", "--speed", "20000")
    equal((seen["frames"], seen["failed"], seen["cancelled"] > 0), (40, 0, True))


def test_tiles_that_cannot_be_baked_are_no_end_of_the_game(_):
    shutil.copy(game.path + "/terrain.lua", game.path + "/terrain.good")
    game.write("terrain.lua", "return { bake = function() error 'no stone left' end }")
    seen = play("--frames", "30", "--settle")
    shutil.move(game.path + "/terrain.good", game.path + "/terrain.lua")
    equal((seen["baked"], seen["missing"], seen["failed"] >= seen["wanted"]), (0, 0, True))


def test_options_that_it_does_not_know_are_refused(_):
    equal("usage: game" in game.run("./game", "--help"), True)
    for words in (["--framse", "3"], ["--frames"], ["--frames", "many"], ["--workers", "0"]):
        equal(f"cannot use `{words[0]}`" in game.run("./game", *words, fails=True), True)


try:
    run([value for name, value in list(globals().items()) if name.startswith("test_")])
finally:
    screen.kill()
    screen.wait()
    game.close()
