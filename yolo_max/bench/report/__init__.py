"""From results to figures, and from figures to tables, plots and a page.

    results ──► summary.py ──► tables.py ──► text.py (terminal, Markdown) ┐
                          └──► charts.py ──► plots.py (SVG and PNG)       ┴──► write.py (page.html, filled)

Nothing here measures, so a bench.json can be shown again anywhere.
"""
