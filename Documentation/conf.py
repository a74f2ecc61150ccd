# SPDX-License-Identifier: GPL-2.0-only
"""Sphinx configuration: `make htmldocs` writes build/htmldocs/.

The kernel's own extension turns kernel-doc comments into pages; it comes from
the kernel source that scripts/setup unpacks to build/linux/.
"""
import os
import sys

top = os.path.abspath("..")
linux = os.path.join(top, "build", "linux")
sys.path.insert(0, os.path.join(linux, "Documentation", "sphinx"))

project = "vfmig"
copyright = "the vfmig developers"
master_doc = "index"
extensions = ["kerneldoc"]
exclude_patterns = []
primary_domain = "c"
highlight_language = "none"
html_theme = "alabaster"

kerneldoc_bin = os.path.join(linux, "scripts", "kernel-doc")
kerneldoc_srctree = top
kerneldoc_verbosity = 1
