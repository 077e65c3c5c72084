// SPDX-License-Identifier: Apache-2.0

import java.nio.file.Files;
import java.nio.file.Path;

/** Writes a file to standard output as Java programs read it. */
final class Readers {
    private Readers() {}

    public static void main(String[] args) throws Exception {
        System.out.write(Files.readAllBytes(Path.of(args[0])));
        System.out.flush();
    }
}
