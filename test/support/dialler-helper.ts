import { runDiallerChild } from "../../src/streaming/dialler-child.ts";

runDiallerChild();
